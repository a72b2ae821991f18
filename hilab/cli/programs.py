"""`hilab demo` and `hilab reproduce`: whole programs on the embedded bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("demo")(demo)
    app.command("reproduce")(reproduce)


def demo(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer frames: under a minute.")] = False,
    out: Annotated[Path, typer.Option("--out", help="Folder for the figure and the run files.")] = Path(
        "demo-out"
    ),
) -> None:
    """Run the whole chain on the embedded bench: contacts, survey, fits, training, one figure."""
    from hilab.demo.main import run_demo

    raise typer.Exit(run_demo(quick=quick, out=out))


def reproduce(
    name: Annotated[str, typer.Argument(help="The published system, such as spin-neurons.")],
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer seeds and frames: under three minutes.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Run a published system and print its figures beside ours, each marked as sure or not."""
    from hilab import studies

    raise typer.Exit(studies.load(name)(quick=quick, json=json))
