"""Run files between processes: a kill at full speed, a reader of a file that grows."""

from __future__ import annotations

import json
import signal
import time

import numpy as np
import pytest

from hilab.store import load_run, runs

WRITER = """
import sys, numpy as np
from hilab.engine.messages import Column
from hilab.store import RunInfo, RunWriter
block = int(sys.argv[2])
streams = {"walk": {c: Column("f8") for c in "abc"}}
writer = RunWriter(sys.argv[1], RunInfo("killed", {"block": block}), streams)
sys.stdout.write(f"{writer.path}\\n")
done = 0
while True:
    steps = np.arange(done, done + block, dtype=float)
    writer.append("walk", {c: steps + number for number, c in enumerate("abc")})
    writer.commit()
    done += block
    if done // block % 20 == 0:
        writer.checkpoint({"state": {"done": done, "weights": np.full(100_000, float(done))}})
    sys.stdout.write(f"{done}\\n")  # published
    sys.stdout.flush()
"""


@pytest.mark.parametrize(("block", "seconds"), [(1, 0.3), (7, 0.5), (1000, 0.4), (1000, 0.55)])
def test_after_kill_9_at_full_speed_every_published_row_is_there(script, tmp_path, block, seconds):
    process = script(WRITER, str(tmp_path), str(block))
    path = process.stdout.readline().strip()
    assert process.stdout.readline()
    assert load_run(path).status == "running"
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    lines = process.communicate()[0].splitlines(keepends=True)
    published = max(int(line) for line in lines if line.endswith("\n"))
    run = load_run(path)
    assert run.status == "interrupted"
    stream = run.streams["walk"]
    assert published <= stream.rows <= published + block
    for number, column in enumerate("abc"):
        np.testing.assert_array_equal(stream[column], np.arange(stream.rows) + number)
    if published >= 20 * block:
        checkpoint = run.checkpoint()
        assert checkpoint["state"]["done"] == checkpoint["rows"]["walk"] <= stream.rows
        assert (checkpoint["state"]["weights"] == checkpoint["state"]["done"]).all()
    assert [summary.status for summary in runs(tmp_path)] == ["interrupted"]


READER = """
import json, sys, numpy as np
from hilab.store import load_run
seen = []
while True:
    run = load_run(sys.argv[1])
    stream = run.streams["switching"]
    right = (stream["amplitude_a"] == np.arange(stream.rows)).all()
    good = bool(right) and len(stream["flags"]) == stream.rows
    seen.append((run.status, stream.rows, good))
    if run.status != "running" or len(seen) > 5000:
        print(json.dumps(seen))
        break
    sys.stdout.flush()
"""


def test_a_second_process_reads_while_the_file_grows_and_sees_its_end(script, writer):
    process = script(READER, str(writer.path))
    deadline = time.monotonic() + 15
    total = 0
    while time.monotonic() < deadline and total < 40_000:
        count = 1 + total % 300
        steps = np.arange(total, total + count)
        block = {"device": np.full(count, b"d"), "amplitude_a": steps, "p_switch": steps, "flags": steps % 7}
        writer.append("switching", {**block, "trace_v": np.zeros((count, 3))})
        writer.commit()
        total += count
        time.sleep(0.004)
    writer.finish("done")
    output, errors = process.communicate(timeout=20)
    assert not errors
    seen = json.loads(output)
    assert all(good for _, _, good in seen)
    assert [rows for _, rows, _ in seen] == sorted(rows for _, rows, _ in seen)
    assert seen[-1][:2] == ["done", total]
    assert len({rows for _, rows, _ in seen}) > 5, "it did not see the file grow"
