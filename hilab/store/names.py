"""Names of run files: unique, sortable by time, and never outside their folder."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from datetime import datetime
from pathlib import Path

from hilab.errors import RunFileError


def slug(text: str) -> str:
    """Text reduced to what is safe in a file name on every system: letters, digits, '_' and '-'."""
    return re.sub(r"[^A-Za-z0-9-]+", "_", text).strip("_-")[:60] or "run"


def run_file_path(directory: Path, protocol: str, started: datetime) -> Path:
    """<time>_<protocol>_<short id>.h5 in directory; the id makes it unique."""
    return directory / f"{started:%Y%m%d-%H%M%S}_{slug(protocol)}_{secrets.token_hex(4)}.h5"


def writable_directory(directory: str | os.PathLike[str]) -> Path:
    """The directory, made if it is missing. Raises RunFileError if run files cannot be written there."""
    path = Path(directory).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise RunFileError(
            f"cannot write run files into {path}: {reason}; name another directory with --out"
        ) from error
    return path.resolve()
