"""Progress of a run on stderr: one live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from hilab.cli.output import duration, say

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from hilab.engine.notices import Notice

INTERVAL_S = 10.0


class ProgressLine:
    """Subscriber of a run; use it as a context manager."""

    def __init__(self) -> None:
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._next_line = 0.0

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self._live = Progress(
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TextColumn("{task.description}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._live.add_task("", total=1.0)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, notice: Notice) -> None:
        """Show what concerns the person who waits."""
        from hilab.engine.notices import Happened, TimeLeft

        if isinstance(notice, TimeLeft):
            self._show(notice.done, notice.total, f"{duration(notice.wall_left_s)} left  {notice.text}")
        elif isinstance(notice, Happened) and (self._live is None or notice.kind == "warning"):
            self._say(f"{notice.kind}: {notice.text}")

    def _say(self, text: str) -> None:
        """A line that stays, above the live one."""
        if self._live is not None:
            self._live.console.print(text, highlight=False, markup=False)
        else:
            say(text)

    def _show(self, done: float, total: float, text: str) -> None:
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=done, total=total or 1.0, description=text)
        elif time.monotonic() >= self._next_line or done >= total:
            self._next_line = time.monotonic() + INTERVAL_S
            say(f"{100 * done / total if total else 0:3.0f} %  {text}")
