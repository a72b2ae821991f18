"""What every test gets: a home of its own, one torch thread, and a look at what it left behind."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # two busy torch threads on two cores are a hundred times slower
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

THREAD_LIMIT_S = 2.0
SERVER_THREADS = "simulated instruments"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wear records, locks and catalogues go into the test's own folder."""
    monkeypatch.setenv("HILAB_HOME", str(tmp_path / "hilab-home"))


@pytest.fixture(autouse=True)
def one_torch_thread() -> None:
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fails a test that leaves a thread, a socket or a VISA session of a simulated bench open."""
    threads, sockets, sessions = set(threading.enumerate()), _open_sockets(), _open_sessions()
    yield
    left = [f"thread {thread.name}" for thread in _running(threads)]
    if _open_sockets() - sockets or _open_sessions() - sessions:
        gc.collect()  # what nobody can reach any more is not open
        left += [f"socket {inode}" for inode in _open_sockets() - sockets]
        left += [f"VISA session {name}" for name in _open_sessions() - sessions]
    if left:
        pytest.fail("left behind: " + ", ".join(left), pytrace=False)


def _running(before: set[threading.Thread]) -> list[threading.Thread]:
    """New threads that a process would wait for, or that serve instruments, once they had time to end."""
    new = [
        thread
        for thread in threading.enumerate()
        if thread not in before and (not thread.daemon or thread.name.startswith(SERVER_THREADS))
    ]
    for thread in new:
        thread.join(THREAD_LIMIT_S)
    return [thread for thread in new if thread.is_alive()]


def _open_sockets() -> set[str]:
    """Sockets of this process; empty where the system does not tell."""
    folder = "/proc/self/fd"
    if not os.path.isdir(folder):
        return set()
    found = set()
    for descriptor in os.listdir(folder):
        try:
            target = os.readlink(f"{folder}/{descriptor}")
        except OSError:  # closed meanwhile
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


def _open_sessions() -> set[str]:
    """Open sessions of every simulated bench's VISA library."""
    module = sys.modules.get("sim_instruments.transports.in_process")
    if module is None:
        return set()
    from pyvisa.highlevel import VisaLibraryBase

    return {
        f"{library.library_path} {number} {name}"
        for library in list(VisaLibraryBase._registry.values())
        if isinstance(library, module.InProcessLibrary)
        for number, name in library.open_sessions.items()
    }
