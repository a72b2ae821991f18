"""`hilab traffic`: the record of the exchanges with the instruments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hilab.cli.output import write_json

app = typer.Typer(
    help="The record of every exchange: shown in order, or made a test of the drivers.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Record = Annotated[
    Path, typer.Argument(metavar="FILE", help="A record, made by: hilab run ... --log-traffic.")
]
SHOWN = 100  # bytes of a message; the rest is counted
ARROWS = {"write": "->", "answer": "<-", "clear": "clear"}


@app.command()
def show(
    record: Record,
    instrument: Annotated[str | None, typer.Option("--instrument", help="Only this one.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show every exchange in its order, with its time on the bench's clock."""
    from hilab.bench.traffic import EXCHANGES, bytes_of, read_traffic
    from hilab.errors import UsageError
    from hilab.plugins import unknown

    entries = [entry for entry in read_traffic(record) if entry["kind"] in EXCHANGES]
    names = sorted({entry["instrument"] for entry in entries})
    if instrument is not None and instrument not in names:
        raise UsageError(unknown("instrument", instrument, names))
    entries = [entry for entry in entries if instrument in (None, entry["instrument"])]
    if json:
        write_json({"exchanges": entries})
        return
    width = max((len(entry["instrument"]) for entry in entries), default=0)
    for entry in entries:
        head = f"{entry['time_s']:14.6f} s  {entry['instrument']:{width}}  {ARROWS[entry['kind']]}"
        print(f"{head} {_shown(bytes_of(entry))}".rstrip())


@app.command("to-test")
def to_test(
    record: Record,
    out: Annotated[Path, typer.Option("--out", help="The test file to write.")],
) -> None:
    """Write a test file that replays the record: the drivers must send the same bytes again."""
    from hilab.engine.replaying import write_test

    print(write_test(record, out))


def _shown(data: bytes) -> str:
    text = repr(data[:SHOWN])[2:-1]
    return f"{text} ... ({len(data)} bytes)" if len(data) > SHOWN else text
