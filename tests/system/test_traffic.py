"""The record of a session: every byte in order, shown, replayed, and made a test that passes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import hilab
from hilab.bench.traffic import as_json, bytes_of, exchanges_in_order, read_traffic
from hilab.cli.main import run_cli
from hilab.engine.replaying import TrafficDiffersError, replay, write_test
from hilab.errors import UsageError

PARAMS = {"devices": ["w2_d1"], "trials": 5, "rounds": 1, "points": 5}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session on the fast bench: scripts up, levels up, binary readings back."""
    folder = tmp_path_factory.mktemp("session")
    code = run_cli(
        [
            "run", "switching_probability", "--bench", "sot_fast", "--seed", "3",
            "--out", str(folder), "--log-traffic", str(folder / "traffic.jsonl"),
            *(part for key, value in PARAMS.items() for part in ("--set", f"{key}={json.dumps(value)}")),
        ]
    )  # fmt: skip
    assert code == 0
    return folder / "traffic.jsonl"


def changed(record: Path, folder: Path, old: str, new: str) -> Path:
    """A copy of the record in which the first `old` is `new`."""
    text = record.read_text()
    assert old in text
    copy = folder / "changed.jsonl"
    copy.write_text(text.replace(old, new, 1))
    return copy


def test_every_exchange_of_every_instrument_is_there_with_its_time(record: Path) -> None:
    exchanges = exchanges_in_order(read_traffic(record))
    assert {name for _, name, _, _ in exchanges} == {"smu", "mux", "magnet", "gaussmeter"}
    times = [time_s for time_s, _, _, _ in exchanges]
    assert times == sorted(times) and times[-1] > 1.0
    assert ("smu", "write", b"*IDN?\n") in [exchange[1:] for exchange in exchanges]
    blocks = [data for _, name, kind, data in exchanges if kind == "answer" and data.startswith(b"#0")]
    assert blocks and all(block.endswith(b"\n") for block in blocks)


@pytest.mark.parametrize("data", [b"*IDN?\n", b"", b"#0\x00\xff\n", b"\x07", bytes(range(256)), "µ".encode()])
def test_bytes_survive_the_record(data: bytes) -> None:
    assert bytes_of(json.loads(json.dumps(as_json(data)))) == data


def test_the_record_is_shown_in_order(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["traffic", "show", str(record), "--instrument", "smu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[1:] == ["s", "smu", "->", "*IDN?\\n"]
    assert any("bytes)" in line for line in lines)
    assert run_cli(["traffic", "show", str(record), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["exchanges"]) == len(
        exchanges_in_order(read_traffic(record))
    )


def test_an_unknown_instrument_and_a_target_that_cannot_be_written_are_said(
    record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["traffic", "show", str(record), "--instrument", "smuu"]) == 2
    assert "no instrument 'smuu', did you mean 'smu'" in capsys.readouterr().err
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert run_cli(["traffic", "to-test", str(record), "--out", str(blocked / "test_it.py")]) == 2
    assert "the test cannot be written to" in capsys.readouterr().err


def test_the_same_drivers_send_the_same_bytes_and_read_the_same_run(record: Path, tmp_path: Path) -> None:
    again = replay(record, tmp_path)
    (first,) = (hilab.load_run(path) for path in record.parent.glob("*.h5"))
    for column in ("voltage_v", "time_s", "flags"):
        assert again.streams["frames"][column].tobytes() == first.streams["frames"][column].tobytes()


def test_the_written_test_passes(record: Path, tmp_path: Path) -> None:
    written = write_test(record, tmp_path / "recorded_test.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:pytest-qt", str(written)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_a_driver_that_sends_other_bytes_is_found(record: Path, tmp_path: Path) -> None:
    other = changed(record, tmp_path, "ROUT:OPEN ALL", "ROUT:OPEN ALI")
    with pytest.raises(
        TrafficDiffersError, match=r"mux, at exchange \d+: .*OPEN ALI.* was recorded, and now"
    ):
        replay(other, tmp_path)


def test_a_driver_that_sends_less_is_found(record: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.jsonl"
    extra = {"time_s": 1e6, "instrument": "mux", "kind": "write", "text": "*CLS\n"}
    more.write_text(record.read_text() + json.dumps(extra) + "\n")
    with pytest.raises(TrafficDiffersError, match=r"mux: exchange .* was not repeated: .*CLS"):
        replay(more, tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no traffic record"),
        ("{}\n{}\n", "line 1: no line of a traffic record"),
        ("oops\n{}\n", "line 1: no line of a traffic record"),
        ('{"kind": "session"}\n', "holds 0 runs, and one that came to its end is needed"),
        (
            '{"kind": "session"}\n{"kind": "unheard", "who": "magnet"}\n{"kind": "run"}\n'
            '{"kind": "end", "status": "done"}\n',
            "lacks the exchanges of magnet",
        ),
        (
            '{"kind": "session"}\n{"kind": "run"}\n{"kind": "end", "status": "aborted"}\n',
            "was aborted: only a finished one can be replayed",
        ),
    ],
)
def test_what_cannot_be_replayed_is_refused_in_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        write_test(path, tmp_path / "never_test.py")
    assert not (tmp_path / "never_test.py").exists()


def test_a_log_that_cannot_be_written_stops_before_the_instruments_are_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "traffic.jsonl"
    arguments = ["run", "contact_check", "--bench", "sot_fast", "--out", str(tmp_path), "--log-traffic"]
    assert run_cli([*arguments, str(target)]) == 1
    assert "the traffic cannot be logged to" in capsys.readouterr().err
