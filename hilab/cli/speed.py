"""`hilab speed`: the table of speeds, with peers measured in the same run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilab.cli.output import duration, say, write_json, write_table

if TYPE_CHECKING:
    from hilab.speed.rows import Row

SMALLEST_MISREAD = 1e-9
BENCH_COLUMNS = (
    "way",
    "bench",
    "player",
    "a message",
    "frames/s",
    "pulse share",
    "misread",
    "MNIST epoch",
    "pulses on each device",
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("speed")(speed)


def speed(
    quick: Annotated[bool, typer.Option("--quick", help="Less of everything, under a minute.")] = False,
    benches: Annotated[
        bool, typer.Option("--benches", help="The table of benches and players instead.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure how fast everything is, beside what others do, in one run."""
    if benches:
        _benches(quick, json)
        return
    from hilab.speed.table import measured

    rows = []
    for row in measured(quick):
        say(f"{row.what}: {_figure(row.ours, row.unit) if row.ours is not None else row.how}")
        rows.append(row)
    if json:
        write_json({"rows": [row.document() for row in rows]})
        return
    write_table([_line(row) for row in rows], ("what", "ours", "peer", "ratio", "bar", "met"))
    for row in rows:
        say(f"{row.what}: {row.how}{f'; peer: {row.peer_name}' if row.peer_name else ''}")


def _line(row: Row) -> tuple[str, ...]:
    bar = f"{row.bar:g} x" if row.bar_on == "ratio" else _figure(row.bar, row.unit)
    met = {True: "yes", False: "NO", None: "-"}[row.met]
    ratio = "" if row.ratio is None else f"{row.ratio:.3g} x"
    ours = "-" if row.ours is None else _figure(row.ours, row.unit)
    return row.what, ours, "" if row.peer is None else _figure(row.peer, row.unit), ratio, bar, met


def _figure(value: float, unit: str) -> str:
    """With a unit's prefix where the number is large; shares in percent."""
    if unit == "of bench time":
        return f"{100 * value:.1f} %"
    for size, letter in ((1e6, "M "), (1e3, "k ")):
        if value >= size and unit.endswith("/s"):
            return f"{value / size:.3g} {letter}{unit}"
    return f"{value:.3g} {unit}"


def _benches(quick: bool, json: bool) -> None:
    from hilab.speed.players import table

    lines: list[dict[str, Any]] = []
    for line in table(quick):
        say(f"{line['bench']}, {line['player']}, {line['message_s'] * 1e3:g} ms: {line['how']}")
        lines.append(line)
    if json:
        write_json({"rows": lines})
        return
    write_table([_bench_line(line) for line in lines], BENCH_COLUMNS)


def _bench_line(line: dict[str, Any]) -> list[str]:
    """One way of playing frames; empty figures where it could not be measured."""
    ways = [line["way"], line["bench"], line["player"], f"{line['message_s'] * 1e3:g} ms"]
    if line["frames_per_s"] is None:
        return [*ways, "", "", "", "", ""]
    # A tail of the normal law further out says nothing about a real reader.
    misread = f"{line['misread']:.1e}" if line["misread"] > SMALLEST_MISREAD else f"< {SMALLEST_MISREAD:g}"
    return [
        *ways,
        f"{line['frames_per_s']:.3g}",
        f"{line['pulse_share']:.1%}",
        misread,
        duration(line["epoch_s"]),
        f"{line['pulses_per_device']:,}",
    ]
