"""Where things lie: data that comes with hilab, and what hilab keeps for its user."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def data_dir() -> Path:
    """Bench files, data sets and reference data: `data` of a clone, else the copy inside the package."""
    clone = PACKAGE.parent / "data"
    return clone if (clone / "benches").is_dir() else PACKAGE / "_data"


def home() -> Path:
    """What hilab keeps for this user: the folder in HILAB_HOME, else the platform's place for user data."""
    chosen = os.environ.get("HILAB_HOME")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("hilab", appauthor=False))


def wear_file() -> Path:
    """The wear ledger of all samples (SQLite)."""
    return home() / "wear.sqlite"


def log_dir() -> Path:
    """Where an unexpected error leaves its traceback."""
    return home() / "log"


def locks_dir() -> Path:
    """Lock files of instrument addresses. Does not follow HILAB_HOME: an instrument is one, whoever asks."""
    import platformdirs

    return Path(platformdirs.user_state_dir("hilab", appauthor=False)) / "locks"


def bench_files() -> list[Path]:
    """Bench files that come with hilab, and those in ./benches and the working directory."""
    places = [data_dir() / "benches", Path("benches"), Path()]
    return [path for place in places for path in sorted(place.glob("*.toml")) if _is_bench(path)]


def find_bench(name: str | Path) -> Path:
    """The file itself, or for a bare name ("sot_fast") the file of that name among `bench_files`."""
    path = Path(name)
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    return next((known for known in bench_files() if known.stem == str(name)), path)


def _is_bench(path: Path) -> bool:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return any(line.startswith("[instruments.") for line in text.splitlines())
