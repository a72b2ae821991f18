"""Ctrl-C in a process of its own: the bench is safe, the file whole, the exit code right."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hilab.store import load_run

PROGRAM = """
import importlib.util, json, sys, time
spec = importlib.util.spec_from_file_location("small", sys.argv[1])
small = importlib.util.module_from_spec(spec)
spec.loader.exec_module(small)
from hilab.engine import Engine, abort_on_signal
bench = small.SmallBench()
def listen(notice):
    print("alive", flush=True)
engine = Engine(small.Walk, bench, json.loads(sys.argv[3]), out=sys.argv[2], subscribers=[listen])
if sys.argv[4] == "handler":
    with abort_on_signal(engine):
        run = engine.run()
    print(json.dumps([run.status, run.reason, run.exit_code, bench.output_on]), flush=True)
    sys.exit(run.exit_code)
try:
    engine.run()
except KeyboardInterrupt:
    print(json.dumps([bench.output_on]), flush=True)
    sys.exit(3)
"""


def interrupted(tmp_path, params, mode, number=signal.SIGINT, times=1):
    """(last line printed, exit code, seconds from the signal to the end)"""
    small = Path(__file__).with_name("conftest.py")
    command = [sys.executable, "-c", PROGRAM, str(small), str(tmp_path), json.dumps(params), mode]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(3):
            assert process.stdout.readline(), process.stderr.read()
        sent = time.monotonic()
        for _ in range(times):
            process.send_signal(number)
            time.sleep(0.02)
        output, errors = process.communicate(timeout=20)
        # without a handler Python may itself report an interrupt that it could not raise
        assert mode == "plain" or "Traceback" not in errors, errors
        return json.loads(output.splitlines()[-1]), process.returncode, time.monotonic() - sent
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("params", "number", "times"),
    [
        ({"slow_s": 0.001, "steps": 10**6}, signal.SIGINT, 1),
        ({"block_at": 40, "steps": 10**6, "slow_s": 0.001}, signal.SIGINT, 2),
        ({"slow_s": 0.001, "steps": 10**6}, signal.SIGTERM, 1),
    ],
)
def test_ctrl_c_ends_a_run_safely_with_exit_code_3(tmp_path, params, number, times):
    (status, reason, code, output_on), returned, seconds = interrupted(
        tmp_path, params, "handler", number, times
    )
    assert (status, code, returned, output_on) == ("aborted", 3, 3, False)
    assert ("Ctrl-C" in reason) == (number == signal.SIGINT)
    assert seconds < 5.0  # 3 s, and the end of the process on a busy machine
    (path,) = tmp_path.glob("*.h5")
    run = load_run(path)
    assert run.status == "aborted" and run.verified_safe and run.streams["walk"].rows > 0


def test_ctrl_c_without_the_handler_is_still_safe_also_when_it_comes_twice(tmp_path):
    params = {"slow_s": 0.001, "steps": 10**6}
    (output_on,), returned, _ = interrupted(tmp_path, params, "plain", times=2)
    assert output_on is False
    # The second one may come after the program's own answer to the first: Python then ends by the signal.
    assert returned in (3, -signal.SIGINT)
    (path,) = tmp_path.glob("*.h5")
    assert load_run(path).status == "aborted"
