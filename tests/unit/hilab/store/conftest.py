from __future__ import annotations

import subprocess
import sys

import pytest

from hilab.engine.messages import Column
from hilab.store import RunInfo, RunWriter

STREAMS = {
    "switching": {
        "device": Column("S16"),
        "amplitude_a": Column("f8", "A"),
        "p_switch": Column("f8"),
        "trace_v": Column("f4", "V", 3),
        "flags": Column("u2"),
    },
    "empty": {"step": Column("i8")},
}


@pytest.fixture
def writer(tmp_path):
    """A writer of a small run, closed at the end."""
    info = RunInfo(
        "switching_probability",
        {"trials": 10, "devices": ["w4_d1"]},
        seed=5,
        bench="small",
        bench_file="format = 1  # µ\n",
        sample="Probe Ä",
        operator="me",
        note="first\0try",
    )
    made = RunWriter(tmp_path / "runs", info, STREAMS)
    yield made
    made.finish("failed", "left open by the test")


@pytest.fixture
def script(tmp_path):
    """Start a Python program in a process of its own; it is ended with the test."""
    processes = []

    def start(source: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", source, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()
