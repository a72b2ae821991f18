"""`hilab sim`: simulated instruments for any VISA client."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated

import typer

from hilab.cli.output import say, write_json, write_table

app = typer.Typer(help="Simulated instruments on TCP sockets.", no_args_is_help=True, rich_markup_mode=None)

POLL_S = 0.5


@app.callback()
def sim() -> None:
    """Simulated instruments on TCP sockets."""


@app.command()
def serve(
    file: Annotated[Path, typer.Argument(metavar="BENCH_FILE", help="Bench file with a [simulation] table.")],
    host: Annotated[str, typer.Option("--host", help="Address to listen at.")] = "127.0.0.1",
    port_base: Annotated[
        int, typer.Option("--port-base", min=0, max=65000, help="First port; 0 takes free ones.")
    ] = 0,
    speed: Annotated[float, typer.Option("--speed", min=0.001, help="Bench seconds per second.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the instruments' noise.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Addresses as one JSON line on stdout.")] = False,
) -> None:
    """Serve the simulated instruments of a bench file until Ctrl-C."""
    from hilab import paths, plugins
    from hilab.bench.check import read_bench_file
    from hilab.bench.opening import twin_tables
    from hilab.errors import BenchError, BenchFileError

    bench = read_bench_file(paths.find_bench(file))
    if not bench.simulated or bench.simulation is None:
        raise BenchFileError(f"{file} describes real instruments: there is nothing simulated to serve")
    start = plugins.load(plugins.SIM_SERVERS, str(bench.simulation["bench"]))
    try:
        server = start(**twin_tables(bench), seed=seed, host=host, port_base=port_base, speed=speed)
    except (OSError, ValueError) as error:
        raise BenchError(f"the simulated instruments cannot be served: {error}") from error
    try:
        instruments = [
            {
                "name": name,
                "model": server.models[name],
                "address": address[-1],
                "hislip": server.hislip[name][-1] if hasattr(server, "hislip") else "",
            }
            for name, address in server.addresses.items()
        ]
        if json:
            write_json({"instruments": instruments})
        else:
            write_table([list(row.values()) for row in instruments], ("name", "model", "address", "hislip"))
        say("serving; Ctrl-C ends it")
        _until_told_to_stop()
    finally:
        server.close()


def _until_told_to_stop() -> None:
    """SIGINT and SIGTERM are how a server ends: exit code 0."""
    never = threading.Event()
    try:
        while not never.wait(POLL_S):
            pass
    except KeyboardInterrupt:
        say("stopped serving")
