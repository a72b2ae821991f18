"""The wear ledger: on disk before a pulse is played, shared by processes, never less than the truth."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hilab.bench.wear import WearLedger
from hilab.errors import BenchError

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
