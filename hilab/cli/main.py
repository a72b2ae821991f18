"""The command line's one entry: arguments in, exit code out, every error one clear sentence.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 aborted and safe, 4 not verified safe.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

import typer

from hilab.cli import bench, programs, protocols, runs, sim, speed, traffic
from hilab.cli.output import say
from hilab.errors import Aborted, HilabError, UsageError
from hilab.paths import log_dir

FAILED, USAGE, ABORTED = 1, 2, 3
INTERRUPTED = 130

app = typer.Typer(
    name="hilab",
    help="Characterise stochastic devices, and train neural networks on them, pulse by pulse.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
programs.register(app)
app.add_typer(bench.app, name="bench")
protocols.register(app)
runs.register(app)
speed.register(app)
app.add_typer(sim.app, name="sim")
app.add_typer(traffic.app, name="traffic")


def main() -> None:
    """The console script `hilab` and `python -m hilab`."""
    sys.exit(run_cli(sys.argv[1:]))


def run_cli(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code and never raises."""
    with _terminated_as_interrupted():
        try:
            return _run(arguments)
        except HilabError as error:
            return _failed(error)
        except (KeyboardInterrupt, Aborted):
            say("hilab: stopped; everything that was on is off")
            return ABORTED
        except BrokenPipeError:  # the reader of our output has gone, as with `hilab runs | head`
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        except Exception as error:  # noqa: BLE001 - a traceback is of no use to the person at the bench: it goes to a file
            return _unexpected(error)


def _run(arguments: Sequence[str]) -> int:
    command = typer.main.get_command(app)
    code = command.main(args=list(arguments), prog_name="hilab", standalone_mode=False)
    if code == INTERRUPTED:  # what typer makes of Ctrl-C
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _failed(error: HilabError) -> int:
    problems = error.problems if isinstance(error, UsageError) else str(error).splitlines()
    for problem in problems or [type(error).__name__]:
        say(f"hilab: {problem}")
    code = getattr(error, "exit_code", USAGE if isinstance(error, UsageError) else FAILED)
    return int(code)


def _unexpected(error: Exception) -> int:
    """What has a sentence of its own is said; anything else leaves its traceback in a file."""
    if hasattr(error, "format_message"):  # click's own: unknown option, missing argument ...
        say(f"hilab: {error.format_message()}")
        return USAGE
    if hasattr(error, "reasons"):  # PlanRefused
        for reason in error.reasons:
            say(f"hilab: {reason}")
        return FAILED
    text = " ".join(str(error).split())
    if type(error).__module__.startswith("pyvisa") or isinstance(error, OSError):
        say(f"hilab: {text or type(error).__name__}")
        return FAILED
    say(f"hilab: unexpected {type(error).__name__}: {text} (details: {_logged(error)})")
    return FAILED


def _logged(error: Exception) -> Path:
    """Write the traceback to a file of its own and say where."""
    name = f"hilab-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    text = "".join(traceback.format_exception(error))
    for folder in (log_dir(), Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
            return folder / name
    return Path(os.devnull)


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does, so that the bench is made safe.

    Signals reach the main thread only: elsewhere nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
