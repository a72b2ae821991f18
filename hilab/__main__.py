"""`python -m hilab` is `hilab`."""

from hilab.cli.main import main

main()
