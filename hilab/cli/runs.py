"""`hilab run`, `resume`, `show`, `export`, `runs`: measurements and their files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilab.cli.opened import opened
from hilab.cli.output import duration, say, write_json, write_table, write_tree

if TYPE_CHECKING:
    from hilab.engine import Engine
    from hilab.store import Run

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
RunFile = Annotated[Path, typer.Argument(metavar="RUN_FILE", help="A run file (HDF5).")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (run, resume, show, export):
        app.command(command.__name__)(command)
    app.command("runs")(list_runs)


def run(
    protocol: Annotated[str, typer.Argument(help="Name of the protocol (see: hilab protocols).")],
    bench: Annotated[Path, typer.Option("--bench", help="Bench file, or the name of a known one.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="K=V", help="A parameter; may be given several times."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the run file.")] = Path("runs"),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the run.")] = 0,
    preset: Annotated[
        str | None,
        typer.Option("--preset", metavar="NAME", help="A named set of parameters; --set goes on top."),
    ] = None,
    player: Annotated[
        str | None,
        typer.Option("--player", metavar="NAME", help="Play every batch with this player, not the fastest."),
    ] = None,
    log_traffic: Annotated[
        Path | None,
        typer.Option("--log-traffic", metavar="FILE", help="Write every exchange with its time to FILE."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Plan only: limits, time, wear; no pulse is played.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Run a protocol on a bench."""
    from hilab.cli.progress import ProgressLine
    from hilab.engine import Engine
    from hilab.engine import run as run_protocol

    found, params = _request(protocol, settings or [], preset, bench)
    if dry_run:
        with opened(bench, seed, player) as station:
            planned = run_protocol(found, station, params, seed=seed, dry_run=True)
        _print_plan(planned, json)
        return
    _refuse_output(out)
    with opened(bench, seed, player, log_traffic) as station, ProgressLine() as progress:
        _finish(Engine(found, station, params, out=out, seed=seed, subscribers=[progress]), json)


def resume(
    run_file: RunFile,
    bench: Annotated[
        Path | None, typer.Option("--bench", help="Bench file; the one stored in the run file if not given.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Continue an interrupted run."""
    from hilab.cli.progress import ProgressLine
    from hilab.engine import resume as resume_run
    from hilab.store import load_run

    old = load_run(run_file)
    with (
        _bench_of(old, bench) as path,
        opened(path, old.seed) as station,
        ProgressLine() as progress,
    ):
        _finish(resume_run(run_file, station, subscribers=[progress], engine_only=True), json)


@contextmanager
def _bench_of(old: Run, given: Path | None) -> Iterator[Path]:
    """The bench file that was named, else the one that the run file holds, as a file."""
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="hilab-") as folder:
        path = Path(folder) / f"{old.about.get('bench', 'bench')}.toml"
        path.write_text(old.bench_file, encoding="utf-8")
        yield path


def _finish(engine: Engine, json: bool) -> None:
    """Run to the end, print the run however it ended, and leave with its exit code."""
    from hilab.engine import RunFailedError, abort_on_signal

    try:
        with abort_on_signal(engine):
            done = engine.run()
    except RunFailedError as error:
        print_run(error.run, json)
        raise
    print_run(done, json)
    if done.exit_code:
        say(f"hilab: {done.status}: {done.reason}")
        raise typer.Exit(done.exit_code)


def show(run_file: RunFile, json: AsJson = False) -> None:
    """Show what a run file holds."""
    from hilab.store import load_run

    print_run(load_run(run_file), json)


def export(
    run_file: RunFile,
    to: Annotated[str, typer.Option("--to", help="csv, netcdf or png.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder; beside the run file if not given.")
    ] = None,
) -> None:
    """Write a run's streams as CSV, netCDF or pictures."""
    from hilab.store import export as export_run

    for path in export_run(run_file, to, out):
        print(path)


def list_runs(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with run files.")] = Path("runs"),
    json: AsJson = False,
) -> None:
    """List the runs in a folder."""
    from hilab.store import runs

    found = runs(directory)
    if json:
        write_json({"runs": [vars(row) for row in found]})
        return
    head = ("started", "protocol", "status", "sample", "rows", "file")
    write_table([(r.started, r.protocol, r.status, r.sample, r.rows, r.path.name) for r in found], head)
    for row in found:
        if row.status == "damaged":
            say(f"hilab: {row.reason}")


def print_run(run: Run, json: bool) -> None:
    """A run as one JSON document, or in plain text."""
    document = run_document(run)
    if json:
        write_json(document)
        return
    write_table(
        [
            ("protocol", run.protocol),
            ("status", f"{run.status}{f': {run.reason}' if run.reason else ''}"),
            ("run file", run.path),
            ("sample", run.sample),
            ("started", run.started),
            ("bench time", duration(run.bench_time_s)),
        ]
    )
    for title, values in (("parameters", run.parameters), ("results", run.results)):
        if values:
            print(f"\n{title}")
            write_tree(_readable(values), "  ")
    if document["streams"]:
        print("\nstreams")
        for name, stream in document["streams"].items():
            print(f"  {name}: {stream['rows']} rows of {', '.join(stream['columns'])}")


def _readable(values: Mapping[str, Any]) -> dict[str, Any]:
    """The plans that were played as a tree of their own."""
    if not isinstance(values.get("plans"), list):
        return dict(values)
    plans = {f"plan {number + 1}": plan for number, plan in enumerate(values["plans"])}
    return {**values, "plans": plans}


def run_document(run: Run) -> dict[str, Any]:
    """The document that `run`, `resume` and `show` print with --json."""
    return {
        "run_file": str(run.path),
        "protocol": run.protocol,
        "status": run.status,
        "reason": run.reason,
        "parameters": run.parameters,
        "streams": {
            name: {"rows": stream.rows, "columns": list(stream.units), "units": dict(stream.units)}
            for name, stream in run.streams.items()
        },
        "results": run.results,
        "bench_time_s": run.bench_time_s,
        "sample": run.sample,
        "seed": run.seed,
        "started": run.started,
        "verified_safe": run.verified_safe,
    }


def _request(protocol: str, settings: list[str], preset: str | None, bench: Path) -> tuple[Any, Any]:
    """(protocol class, checked parameters); UsageError with every problem, the bench file's too."""
    from hilab import paths
    from hilab.bench.check import read_bench_file
    from hilab.cli.settings import parse_settings
    from hilab.engine.params import checked_params, find_protocol, with_preset
    from hilab.errors import UsageError

    values, problems = parse_settings(settings)
    found = params = None
    simulated = True
    try:
        simulated = read_bench_file(paths.find_bench(bench)).simulated
    except UsageError as error:
        problems += error.problems
    try:
        found = find_protocol(protocol)
        params = checked_params(found.Params, with_preset(found, values, preset, simulated=simulated))
    except UsageError as error:
        problems += error.problems
    if problems:
        raise UsageError(problems)
    return found, params


def _refuse_output(out: Path) -> None:
    """RunFileError before the bench is opened if nothing can be written there."""
    from hilab.store.names import writable_directory

    writable_directory(out)


def _print_plan(planned: dict[str, Any], json: bool) -> None:
    if json:
        write_json(planned)
    else:
        write_tree(_readable(planned))
    for warning in planned["warnings"]:
        say(f"hilab: {warning}")
