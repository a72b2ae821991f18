"""Which runs lie in a directory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hilab.errors import RunFileError
from hilab.store.reader import load_run


@dataclass(frozen=True)
class RunSummary:
    """One line of the catalogue. status "damaged" means the file cannot be read; reason says why."""

    path: Path
    status: str
    reason: str = ""
    protocol: str = ""
    started: str = ""
    sample: str = ""
    rows: int = 0


def runs(directory: str | os.PathLike[str] = "runs") -> list[RunSummary]:
    """All run files (*.h5) of a directory in the order of their start, damaged ones included.

    Raises RunFileError if there is no such directory.
    """
    place = Path(directory).expanduser()
    try:
        files = [path for path in place.iterdir() if path.suffix == ".h5" and path.is_file()]
    except OSError as error:
        raise RunFileError(f"cannot list the runs in {place}: {error.strerror}") from error
    return sorted((summary(path) for path in files), key=lambda run: (run.started, run.path.name))


def summary(path: Path) -> RunSummary:
    """The catalogue's line for one file; never raises for a damaged one."""
    try:
        run = load_run(path)
    except RunFileError as error:
        return RunSummary(path, "damaged", reason=str(error))
    rows = sum(stream.rows for stream in run.streams.values())
    return RunSummary(run.path, run.status, run.reason, run.protocol, run.started, run.sample, rows)
