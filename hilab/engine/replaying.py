"""A recorded session once more: the same run, with what the instruments said then in their place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hilab
from hilab.bench.traffic import read_traffic
from hilab.errors import HilabError, UsageError
from hilab.store import Run

RECORDED = "recorded"
"""The simulated bench whose instruments are a record."""


class TrafficDiffersError(HilabError):
    """The drivers sent something else than in the record; says what first."""


def replay(record: str | Path, out: str | Path) -> Run:
    """Run what the record says with drivers as they are now; the run, if every byte was the same.

    The instruments are played by the record: each must be sent what it was sent then, in the same order, and
    answers what it answered then. TrafficDiffersError names the first exchange that differs; UsageError where
    the record does not hold one finished run. Runs file and bench file go into the folder `out`.
    """
    session, run = recorded_run(record)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    bench_file, report = folder / f"{session['bench']}.toml", folder / "differences.txt"
    bench_file.write_text(session["bench_file"], encoding="utf-8")
    report.write_text("", encoding="utf-8")
    replaced = {
        **session["overrides"],
        "simulation.bench": RECORDED,
        "simulation.traffic": str(Path(record).resolve()),
        "simulation.report": str(report.resolve()),
        **{f"instruments.{name}.address": "sim" for name in session["instruments"]},
    }
    try:
        with hilab.open_bench(
            bench_file, seed=session["seed"], overrides=replaced, player=session["player"]
        ) as bench:
            twin: Any = bench.twin
            done = hilab.run(
                run["protocol"], bench, run["parameters"], seed=run["seed"], out=folder, preset="none"
            )
    except HilabError as error:  # what a driver makes of an instrument that no longer answers
        differences = report.read_text(encoding="utf-8")
        if not differences:
            raise
        raise TrafficDiffersError(differences) from error
    if twin.differences():
        raise TrafficDiffersError("\n".join(twin.differences()))
    return done


def recorded_run(record: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(session, run) of a record of one finished run. UsageError for anything else."""
    entries = read_traffic(record)
    runs = [entry for entry in entries if entry["kind"] == "run"]
    ends = [entry for entry in entries if entry["kind"] == "end"]
    if len(runs) != 1 or len(ends) != 1:
        raise UsageError(f"{record} holds {len(runs)} runs, and one that came to its end is needed")
    if ends[0]["status"] != "done":
        raise UsageError(f"the run in {record} was {ends[0]['status']}: only a finished one can be replayed")
    unheard = [entry["who"] for entry in entries if entry["kind"] == "unheard"]
    if unheard:
        raise UsageError(f"{record} lacks the exchanges of {', '.join(unheard)}: no record_traffic there")
    names = dict.fromkeys(entry["instrument"] for entry in entries if "instrument" in entry)
    return {**entries[0], "instruments": list(names)}, runs[0]


def write_test(record: str | Path, target: str | Path) -> Path:
    """Write a pytest file that holds the record and replays it. UsageError if it cannot be replayed."""
    _, run = recorded_run(record)
    entries = read_traffic(record)
    lines = [line for line in Path(record).read_text(encoding="utf-8").splitlines() if line]
    notes = [line for entry, line in zip(entries, lines, strict=False) if "instrument" not in entry]
    exchanges = [entry for entry in entries if "instrument" in entry]
    path = Path(target)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_test_text(run, notes, exchanges), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"the test cannot be written to {path}: {error.strerror}; name another --out"
        ) from error
    return path


def _test_text(run: Mapping[str, Any], notes: Sequence[str], exchanges: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        f"    ({each['time_s']!r}, {each['instrument']!r}, {each['kind']!r}, {_content(each)}),"
        for each in exchanges
    ]
    return TEMPLATE.format(
        protocol=run["protocol"],
        notes="\n".join(f"    {note!r}," for note in notes),
        exchanges="\n".join(rows),
    )


def _content(entry: Mapping[str, Any]) -> str:
    if "base64" in entry:
        return f"{{'base64': {entry['base64']!r}}}"
    return f"{{'text': {entry.get('text', '')!r}}}"


def write_record(
    path: str | Path,
    notes: Sequence[str],
    exchanges: Sequence[tuple[float, str, str, Mapping[str, str]]],
) -> Path:
    """The record again, from what a written test holds: the session first, then all in their order."""
    timed = [(json.loads(note)["time_s"], note) for note in notes[1:]]
    for time_s, name, kind, content in exchanges:
        line = {"time_s": time_s, "instrument": name, "kind": kind, **content}
        timed.append((time_s, json.dumps(line)))
    timed.sort(key=lambda pair: pair[0])
    Path(path).write_text("\n".join([notes[0], *(line for _, line in timed)]) + "\n", encoding="utf-8")
    return Path(path)


TEMPLATE = '''"""Recorded session of {protocol}: the drivers must send the same bytes again."""

# ruff: noqa: E501

from pathlib import Path

from hilab.engine.replaying import replay, write_record

NOTES = [
{notes}
]

EXCHANGES = [  # bench time, instrument, what, bytes
{exchanges}
]


def test_the_drivers_send_the_recorded_bytes(tmp_path: Path) -> None:
    record = write_record(tmp_path / "traffic.jsonl", NOTES, EXCHANGES)
    assert replay(record, tmp_path / "runs").status == "done"
'''
