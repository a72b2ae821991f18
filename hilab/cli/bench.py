"""`hilab bench`: the bench by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilab.cli.opened import opened
from hilab.cli.output import say, write_json, write_table

if TYPE_CHECKING:
    from hilab.bench import Bench

app = typer.Typer(
    help="The bench: what it is, who answers, everything off, one pulse, one reading.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

CONTACT_SHARE = 0.1
"""Contacts are looked at with this share of a device's read limit."""

SILENT_SHARE = 0.01
"""A longitudinal resistance below this share of the line's says that the taps do not touch."""

ARM_CURRENT_A = 1e-6
ARM_MAX_OHM = 1e5

BenchPath = Annotated[Path, typer.Argument(metavar="FILE", help="Bench file, or the name of a known one.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Device = Annotated[str, typer.Option("--device", help="Name of the device.")]


@app.command("list")
def list_benches(json: AsJson = False) -> None:
    """Bench files that are known by name: those that come with hilab, in ./benches and here."""
    from hilab.bench.check import read_bench_file
    from hilab.errors import BenchFileError
    from hilab.paths import bench_files

    rows = []
    for path in bench_files():
        row: dict[str, Any] = {"name": path.stem, "path": str(path)}
        try:
            file = read_bench_file(path)
            row |= {
                "sample": file.sample,
                "devices": len(file.devices),
                "instruments": sorted(entry.driver for entry in file.instruments.values()),
                "simulated": file.simulated,
                "problem": "",
            }
        except BenchFileError as error:
            row |= {"sample": "", "devices": 0, "instruments": [], "simulated": False}
            row["problem"] = error.problems[0]
        rows.append(row)
    if json:
        write_json({"benches": rows})
        return
    head = ("name", "sample", "devices", "instruments", "path")
    write_table([[row[key] for key in head] for row in rows], head)
    for row in rows:
        if row["problem"]:
            say(f"hilab: {row['problem']}")


@app.command()
def check(
    file: BenchPath,
    contact: Annotated[bool, typer.Option(help="Look at every device's contacts at low current.")] = True,
    json: AsJson = False,
) -> None:
    """Check the file, limits and wiring, who answers, and the contacts at low current."""
    with opened(file) as bench:
        identities = _identities(bench)
        contacts = [_contact(bench, name) for name in bench.devices] if contact else []
    bad = [row["device"] for row in contacts if row["verdict"] != "ok"]
    if json:
        write_json(
            {
                "bench": bench.name,
                "ok": not bad,
                "instruments": identities,
                "contacts": contacts,
                "not_ok": bad,
            }
        )
    else:
        _print_identities(identities)
        if contacts:
            print()
            head = ("device", "r_longitudinal_ohm", "r_hall_ohm", "verdict")
            write_table([[row[key] for key in head] for row in contacts], head)
    if bad:
        say(f"hilab: no good contact on {', '.join(bad)}: look at the probes and the wiring of these devices")
        raise typer.Exit(1)


@app.command()
def identify(file: BenchPath, json: AsJson = False) -> None:
    """Say who answers at each address."""
    with opened(file) as bench:
        identities = _identities(bench)
    if json:
        write_json({"bench": bench.name, "instruments": identities})
    else:
        _print_identities(identities)


@app.command()
def safe(
    file: BenchPath,
    force: Annotated[
        bool, typer.Option("--force", help="Even if another process holds the instruments.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Switch everything off, now, and verify it. Exit code 4 if something is not verified off."""
    from hilab.bench.panic import make_bench_safe
    from hilab.bench.safety import refuse_unsafe

    reports = make_bench_safe(file, force=force)
    if json:
        write_json(
            {"safe": all(report.verified for report in reports), "instruments": list(map(vars, reports))}
        )
    else:
        rows = [(r.instrument, "off, verified" if r.verified else "UNVERIFIED", r.detail) for r in reports]
        write_table(rows)
    refuse_unsafe(reports)


@app.command()
def pulse(
    file: BenchPath,
    device: Device,
    amplitude_a: Annotated[float, typer.Option("--amplitude-a", help="Amplitude in ampere, with its sign.")],
    width_s: Annotated[float, typer.Option("--width-s", help="Width in seconds.")] = 100e-6,
    json: AsJson = False,
) -> None:
    """Play one current pulse, inside the device's limits; it counts as wear."""
    with opened(file) as bench:
        bench.pulse(device, amplitude_a, width_s)
        positive, negative = bench.wear(device)
    document = {
        "device": device,
        "amplitude_a": amplitude_a,
        "width_s": width_s,
        "pulses_positive": positive,
        "pulses_negative": negative,
    }
    if json:
        write_json(document)
    else:
        write_table(list(document.items()))


@app.command()
def read(
    file: BenchPath,
    device: Device,
    port: Annotated[str, typer.Option("--port", help="hall, longitudinal, shunt or current.")] = "hall",
    current_a: Annotated[
        float | None,
        typer.Option("--current-a", help="Read current; a tenth of the read limit if not given."),
    ] = None,
    reversals: Annotated[
        int, typer.Option("--reversals", min=0, help="Current reversals; 0: one polarity.")
    ] = 1,
    integration_s: Annotated[
        float, typer.Option("--integration-s", help="Integration of one reading.")
    ] = 0.02,
    json: AsJson = False,
) -> None:
    """Read one device once, inside its limits."""
    from hilab.errors import BenchError

    with opened(file) as bench:
        current = CONTACT_SHARE * bench.card(device).limits.read_max_a if current_a is None else current_a
        reading = bench.read_port(device, port, current, reversals=reversals, integration_s=integration_s)
        if port == "current" and reading.source_v is None:
            raise BenchError(
                f"{bench.instrument_name('bias_source')!r} has no meter for the voltage across the line: "
                "read the port 'longitudinal' instead of 'current'"
            )
    document = {
        "device": device,
        "port": port,
        "r_ohm": reading.voltage_v / current,
        "voltage_v": reading.voltage_v,
        "even_v": reading.even_v,
        "current_a": reading.current_a,
        "source_v": reading.source_v,
        "compliance": reading.compliance,
        "overload": reading.overload,
        "time_s": reading.time_s,
    }
    if json:
        write_json(document)
    else:
        write_table(list(document.items()))


def _identities(bench: Bench) -> list[dict[str, str]]:
    return [
        {
            "name": name,
            "driver": bench.file.instruments[name].driver,
            "address": bench.file.instruments[name].address,
            **vars(who),
        }
        for name, who in bench.identify().items()
    ]


def _print_identities(identities: list[dict[str, str]]) -> None:
    head = ("name", "driver", "address", "manufacturer", "model", "serial", "firmware")
    write_table([[row[key] for key in head] for row in identities], head)


def _contact(bench: Bench, device: str) -> dict[str, Any]:
    """One device at low current: does a current flow, do its taps answer?"""
    card = bench.card(device)
    current_a = CONTACT_SHARE * card.limits.read_max_a
    row: dict[str, Any] = {"device": device, "r_longitudinal_ohm": None, "r_hall_ohm": None, "verdict": "ok"}
    if bench.shunt is not None:  # a voltage source notices no open line: look whether the current flows
        seen_a = bench.read_port(device, "shunt", current_a).voltage_v / bench.shunt.ohm
        if not abs(seen_a) > SILENT_SHARE * current_a:
            row["verdict"] = "current line open"
    for port in ("longitudinal", "hall"):
        if port not in card.ports:
            continue
        reading = bench.read_port(device, port, current_a)
        r_ohm = reading.voltage_v / current_a
        row[f"r_{port}_ohm"] = r_ohm
        silent = port == "longitudinal" and abs(r_ohm) < SILENT_SHARE * card.r_ohm
        if reading.compliance:
            row["verdict"] = "current line open"
        elif row["verdict"] == "ok" and (reading.overload or silent or _arms_open(bench, device, port)):
            row["verdict"] = f"{port} taps open"
    return row


def _arms_open(bench: Bench, device: str, port: str) -> bool:
    """Whether no small current flows through the Hall arms; False where nobody can force one.

    A source-meter that senses at 0 A reads nothing on an open lead, and nothing is a possible Hall voltage.
    """
    if port != "hall" or not bench.has_role("arm_source"):
        return False
    arm = bench.role("arm_source")
    try:
        arm.set_arm_a(ARM_CURRENT_A)
        return abs(float(arm.arm_voltage_v())) > ARM_CURRENT_A * ARM_MAX_OHM
    finally:
        arm.arm_off()
