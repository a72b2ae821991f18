"""A bench for one command: opened, and reported when it could not be left safe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hilab.bench import Bench


@contextmanager
def opened(
    path: Path, seed: int = 0, player: str | None = None, traffic: Path | None = None
) -> Iterator[Bench]:
    """The opened bench; on leaving everything is off, or NotVerifiedOffError names what is not."""
    from hilab.bench import open_bench
    from hilab.bench.safety import refuse_unsafe

    bench = open_bench(path, seed=seed, player=player, traffic=traffic)
    try:
        yield bench
    finally:
        bench.close()
        refuse_unsafe(bench.last_safe)
