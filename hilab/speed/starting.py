"""How long one waits until something is seen."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator

from hilab.speed.rows import Row, timed, unmeasured

HELP_S, WINDOW_S = 0.3, 2.0


def starting_rows(rounds: int) -> Iterator[Row]:
    """Seconds until `hilab --help` is done and until the window can be seen."""
    command = [sys.executable, "-m", "hilab", "--help"]
    taken = timed(lambda: subprocess.run(command, check=True, capture_output=True), rounds)
    how = f"a process of its own, best of {rounds}; median {taken.median_s:.2f} s"
    yield Row("hilab --help", taken.best_s, "s", HELP_S, how, at_most=True)
    yield _window_row()


def _window_row() -> Row:
    what = "GUI window visible"
    if importlib.util.find_spec("hilab.gui") is None:
        return unmeasured(what, "s", WINDOW_S, "the window is not built yet", at_most=True)
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "hilab", "gui", "--until-visible"], capture_output=True, check=False
    )
    if done.returncode:
        return unmeasured(what, "s", WINDOW_S, "the window did not open here", at_most=True)
    return Row(what, time.perf_counter() - start, "s", WINDOW_S, "a process of its own", at_most=True)
