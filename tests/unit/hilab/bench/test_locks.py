"""One process owns an address."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hilab.bench.locks import AddressLock, canonical
from hilab.errors import BenchError

HOLDER = """
import sys
from hilab.bench.locks import AddressLock
lock = AddressLock("gpib::7", "their bench")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@contextmanager
def other_process() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("gpib::7", "GPIB0::7::INSTR"),
        ("GPIB0::7", "GPIB0::7::INSTR"),
        ("TCPIP::10.0.0.2::5025::SOCKET", "TCPIP0::10.0.0.2::5025::SOCKET"),
    ],
)
def test_one_address_has_one_spelling(written: str, name: str) -> None:
    assert canonical(written) == name


def test_a_second_process_is_refused_and_told_who_holds_it_until_that_one_dies() -> None:
    with other_process() as process:
        with pytest.raises(
            BenchError, match=rf"GPIB0::7::INSTR is in use by process {process.pid} on .*'their bench'"
        ):
            AddressLock("GPIB0::7::INSTR", "ours")
        AddressLock("GPIB0::8::INSTR", "ours").release()
    lock = AddressLock("GPIB0::7::INSTR", "ours")  # the lock went with the killed process
    lock.release()


def test_the_same_process_is_refused_too_and_a_released_lock_is_free() -> None:
    lock = AddressLock("GPIB0::7::INSTR", "ours")
    with pytest.raises(BenchError, match=f"process {os.getpid()}"):
        AddressLock("GPIB0::7::INSTR", "again")
    lock.release()
    AddressLock("GPIB0::7::INSTR", "again").release()
