"""The wear ledger: on disk before a pulse is played, shared by processes, never less than the truth."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hilab.bench.wear import WearLedger
from hilab.errors import BenchError

LEASER = """
import sys
from pathlib import Path
from hilab.bench.wear import WearLedger
ledger = WearLedger(Path(sys.argv[1]), "chip")
for batch in range(5):
    ledger.debit({"d1": (70, 30), "d2": (5, 0)}, {"d1": 10**6, "d2": 10**6})
    print(*ledger.counted("d1"), *ledger.counted("d2"), flush=True)
sys.stdin.read()
"""

PLAYER = """
import os, sys
from pathlib import Path
from hilab.bench.wear import WearLedger
ledger = WearLedger(Path(sys.argv[1]), "chip")
ledger.debit({"d1": (70, 30), "d2": (5, 0)})
print("counted", flush=True)
sys.stdin.read()
"""


def test_counts_add_up_and_are_taken_back(tmp_path: Path) -> None:
    ledger = WearLedger(tmp_path / "new" / "wear.sqlite", "chip")
    ledger.debit({"d1": (10, 5), "d2": (0, 0)})
    ledger.debit({"d1": (1, 1)})
    ledger.credit({"d1": (4, 0)})
    assert ledger.counted("d1") == (7, 6)
    assert ledger.counted("d2") == (0, 0)
    ledger.close()


def test_samples_are_apart_and_benches_share(tmp_path: Path) -> None:
    path = tmp_path / "wear.sqlite"
    one, same, other = WearLedger(path, "chip"), WearLedger(path, "chip"), WearLedger(path, "other")
    one.debit({"d1": (1, 2)})
    same.debit({"d1": (1, 0)})
    assert one.counted("d1") == (2, 2)
    assert other.counted("d1") == (0, 0)
    for ledger in (one, same, other):
        ledger.close()


def test_what_was_counted_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "wear.sqlite"
    process = subprocess.Popen(
        [sys.executable, "-c", PLAYER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "counted\n"
    process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    process.communicate()
    ledger = WearLedger(path, "chip")
    assert ledger.all() == {"d1": (70, 30), "d2": (5, 0)}
    ledger.close()


def writes(ledger: WearLedger) -> int:
    """Rows that the ledger has written so far."""
    return ledger._base.total_changes


def test_batches_counted_ahead_touch_the_disk_once_and_count_exactly(tmp_path: Path) -> None:
    path = tmp_path / "wear.sqlite"
    ledger, other = WearLedger(path, "chip"), WearLedger(path, "chip")
    truth = np.zeros(2, dtype=int)
    rng = np.random.default_rng(5)
    wrote = []
    for _ in range(60):
        counts = int(rng.integers(0, 50)), int(rng.integers(0, 50))
        before = writes(ledger)
        ledger.debit({"d1": counts}, {"d1": 10_000})
        truth += counts
        wrote.append(writes(ledger) - before)
        assert ledger.counted("d1") == tuple(truth)
        assert (np.array(other.counted("d1")) >= truth).all()
    assert 2 <= sum(wrote) <= 30
    ledger.close()
    assert other.counted("d1") == tuple(truth)
    other.close()


def test_nothing_is_counted_ahead_for_a_single_batch_or_beyond_the_room(tmp_path: Path) -> None:
    path = tmp_path / "wear.sqlite"
    ledger, other = WearLedger(path, "chip"), WearLedger(path, "chip")
    ledger.debit({"d1": (10, 10)}, {"d1": 1000})
    assert other.counted("d1") == (10, 10)
    ledger.debit({"d1": (10, 10)})
    assert other.counted("d1") == (20, 20)
    ledger.debit({"d1": (10, 10)}, {"d1": 19})
    assert other.counted("d1") == (30, 30)
    ledger.debit({"d1": (10, 10)}, {"d1": 65})
    assert other.counted("d1") == (70, 70)
    assert ledger.counted("d1") == (40, 40)
    for each in (ledger, other):
        each.close()


def test_what_is_taken_back_does_not_touch_a_lease(tmp_path: Path) -> None:
    path = tmp_path / "wear.sqlite"
    ledger, other = WearLedger(path, "chip"), WearLedger(path, "chip")
    for _ in range(2):
        ledger.debit({"d1": (10, 0)}, {"d1": 50})
    other.debit({"d1": (0, 3)})
    ledger.credit({"d1": (4, 0)})
    assert ledger.counted("d1") == (16, 3)
    ledger.close()
    assert other.counted("d1") == (16, 3)
    other.close()


def test_after_a_kill_the_counted_wear_is_not_less_than_the_true_wear(tmp_path: Path) -> None:
    path = tmp_path / "wear.sqlite"
    process = subprocess.Popen(
        [sys.executable, "-c", LEASER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    ledger = WearLedger(path, "chip")
    for batch in range(1, 6):
        assert process.stdout.readline().split() == [str(batch * n) for n in (70, 30, 5, 0)]
        counted = ledger.all()
        assert (np.subtract(counted["d1"], (70 * batch, 30 * batch)) >= 0).all()
        assert counted["d2"][0] >= 5 * batch
    process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    process.communicate()
    # the second batch was written with twenty more
    assert ledger.all() == {"d1": (70 * 22, 30 * 22), "d2": (5 * 22, 0)}
    ledger.close()


def test_a_batch_that_cannot_be_written_is_not_covered(tmp_path: Path) -> None:
    ledger = WearLedger(tmp_path / "wear.sqlite", "chip")
    ledger.debit({"d1": (1, 0)}, {"d1": 50})
    ledger._base.execute("PRAGMA query_only = 1")
    for _ in range(2):
        with pytest.raises(BenchError, match=r"cannot be written .*nothing was played"):
            ledger.debit({"d1": (1, 0)}, {"d1": 50})
        assert ledger.counted("d1") == (1, 0)
    ledger.close()


@pytest.mark.skipif(os.name == "nt", reason="folders have no such permission there")
def test_a_ledger_that_cannot_be_written_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(BenchError, match=r"the wear ledger .* cannot be used .*set HILAB_HOME"):
        WearLedger(tmp_path / "file" / "wear.sqlite", "chip")


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wear.sqlite"
    path.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(BenchError, match="cannot be used"):
        WearLedger(path, "chip")
