"""A bench for one command: opened, and reported when it could not be left safe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hilab.errors import HilabError

if TYPE_CHECKING:
    from hilab.bench import Bench
    from hilab.roles import SafeReport


class NotSafeError(HilabError):
    """Something could not be verified off."""

    exit_code = 4


@contextmanager
def opened(path: Path, seed: int = 0) -> Iterator[Bench]:
    """The opened bench; on leaving everything is off, or NotSafeError names what is not."""
    from hilab.bench import open_bench

    bench = open_bench(path, seed=seed)
    try:
        yield bench
    finally:
        bench.close()
        refuse_unsafe(bench.last_safe)


def refuse_unsafe(reports: Sequence[SafeReport]) -> None:
    """NotSafeError with a sentence for each instrument that is not verified off."""
    bad = [report for report in reports if not report.verified]
    if bad:
        raise NotSafeError(
            "\n".join(
                f"UNVERIFIED: {report.instrument!r} is not verified off ({report.detail}): "
                f"switch it off by hand"
                for report in bad
            )
        )
