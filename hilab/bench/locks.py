"""One process owns an instrument's address: an OS lock on a file for each address.

The lock goes with the process, also when it is killed; the text beside it says who holds it.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
from pathlib import Path
from typing import IO

from hilab.errors import BenchError
from hilab.paths import locks_dir

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> bool:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def canonical(address: str) -> str:
    """The one spelling of a VISA address ('gpib::7' -> 'GPIB0::7::INSTR'); ValueError if it is none."""
    from pyvisa import rname

    try:
        return str(rname.parse_resource_name(address)).upper()
    except rname.InvalidResourceName as error:
        raise ValueError(
            f"{address!r} is no VISA address: write it like 'GPIB0::7::INSTR' or "
            f"'TCPIP0::192.168.1.20::5025::SOCKET'"
        ) from error


class AddressLock:
    """Held from construction until `release`. BenchError names the holder if another process has it."""

    def __init__(self, address: str, bench: str):
        name = canonical(address)
        stem = hashlib.sha256(name.encode()).hexdigest()[:24]
        folder = locks_dir()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = open(folder / f"{stem}.lock", "ab")  # noqa: SIM115 - held open: it is the lock
        except OSError as error:
            raise BenchError(
                f"no lock file can be made in {folder} ({error.strerror}): make it writable"
            ) from error
        holder = folder / f"{stem}.json"
        if not _try_lock(self._file):
            self._file.close()
            raise BenchError(f"the address {name} is in use by {_holder(holder)}: close that bench first")
        about = {"address": name, "pid": os.getpid(), "host": socket.gethostname(), "bench": bench}
        holder.write_text(json.dumps(about), encoding="utf-8")

    def release(self) -> None:
        """Let the address go; nothing happens the second time."""
        self._file.close()


def _holder(path: Path) -> str:
    """Who holds the lock, in words; the text may be a moment old or not written yet."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        return f"process {about['pid']} on {about['host']} (bench {about['bench']!r})"
    except (OSError, ValueError, KeyError):
        return "another process"
