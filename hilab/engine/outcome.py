"""How a run ended, and how whatever ended it is caught."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from hilab.errors import Aborted, HilabError
from hilab.frames import PlanRefused
from hilab.roles import SafeReport
from hilab.store.reader import Run


class RunFailedError(HilabError):
    """The protocol failed; the bench was made safe and what was measured is in the run file.

    run: the run as recorded, with status "failed"; exit_code: for the command line. The original exception
    is the cause.
    """

    def __init__(self, message: str, run: Run):
        super().__init__(message)
        self.run = run

    @property
    def exit_code(self) -> int:
        return self.run.exit_code


class RunLostError(HilabError):
    """The run ended, the bench was made safe, but the run file could not be completed (a full disk)."""

    def __init__(self, message: str, *, verified: bool):
        super().__init__(message)
        self.exit_code = 1 if verified else 4


class Caught:
    """Context manager that keeps whatever leaves its block, so that what must follow follows.

    The engine's boundary: a protocol, a driver or a subscriber may raise anything (also SystemExit), and
    the bench has to be made safe all the same. Nothing is lost: `error` is recorded and raised later.
    """

    error: BaseException | None = None

    def __enter__(self) -> Caught:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.error = error
        return True


def describe(error: BaseException) -> str:
    """One sentence for the run file and the person at the bench."""
    text = "; ".join(" ".join(line.split()) for line in str(error).splitlines())
    if isinstance(error, (HilabError, PlanRefused)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def ended_as(error: BaseException | None, abort_reason: str) -> tuple[str, str]:
    """(status, reason) of a run that ended with this exception after this request to stop ('' for none)."""
    if abort_reason and (error is None or isinstance(error, (Aborted, GeneratorExit))):
        return "aborted", abort_reason
    if error is None:
        return "done", ""
    if isinstance(error, (Aborted, KeyboardInterrupt, SystemExit)):
        return "aborted", abort_reason or describe(error)
    if abort_reason:
        return "aborted", f"{abort_reason}; then {describe(error)}"
    return "failed", describe(error)


def all_verified(reports: Sequence[SafeReport]) -> bool:
    return all(report.verified for report in reports)
