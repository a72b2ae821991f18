"""`hilab` as a program: what it loads, how long it takes to say something, and how it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from hilab.bench import open_bench
from hilab.cli.main import run_cli
from hilab.paths import data_dir

HEAVY = ("torch", "PyQt5", "pyqtgraph")
HELP_BAR_S = 0.3
BUSY = 3.0  # a machine that runs other tests may be this much slower; the bar itself is for a quiet one


def hilab(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "hilab", *map(str, arguments)]


@contextmanager
def started(command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def loaded_by(*arguments: str) -> set[str]:
    """Top-level modules in sys.modules after the command."""
    code = (
        f"import sys\nfrom hilab.cli.main import run_cli\ncode = run_cli({list(arguments)!r})\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_loads_nothing_heavy() -> None:
    assert not loaded_by("--help") & {*HEAVY, "numpy", "h5py", "pyvisa", "pydantic", "scipy", "matplotlib"}


def test_the_list_of_protocols_loads_neither_qt_nor_torch() -> None:
    assert not loaded_by("protocols") & set(HEAVY)


def test_import_hilab_loads_nothing_heavy() -> None:
    code = "import hilab, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "torch", "h5py", "pyvisa"} & set(done.stdout.split())


def test_help_comes_soon() -> None:
    took = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(hilab("--help"), capture_output=True, check=True)
        took.append(time.perf_counter() - start)
    assert min(took) < HELP_BAR_S * BUSY


@pytest.mark.parametrize(
    "command", ["demo", "reproduce", "bench", "protocols", "run", "resume", "show", "export", "runs", "sim"]
)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli([command, "--help"]) == 0
    assert f"Usage: hilab {command}" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_ends_safe_with_what_it_measured(
    tmp_path: Path, number: signal.Signals
) -> None:
    command = hilab("run", "hysteresis_field", "--bench", "sot_fast", "--out", tmp_path, "--json",
                    "--set", "points=1001", "--set", 'devices=["w2_d1", "w4_d1"]')  # fmt: skip
    with started(command, tmp_path) as process:
        assert process.stderr is not None
        process.stderr.readline()  # first progress: the run is under way
        process.send_signal(number)
        start = time.monotonic()
        out, err = process.communicate(timeout=20)
        took = time.monotonic() - start
    assert process.returncode == 3, err
    assert took < 3.0
    document = json.loads(out)
    assert (document["status"], document["verified_safe"]) == ("aborted", True)
    assert document["streams"]["field_loop"]["rows"] >= 2
    assert "Traceback" not in err


def test_served_instruments_are_a_real_bench_to_hilab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with started(hilab("sim", "serve", "sot_fast", "--json", "--speed", "20"), tmp_path) as server:
        assert server.stdout is not None
        addresses = {
            row["name"]: row["address"] for row in json.loads(server.stdout.readline())["instruments"]
        }
        text = (data_dir() / "benches" / "sot_fast.toml").read_text(encoding="utf-8")
        text = text[: text.index("\n[simulation]")]
        for name, address in addresses.items():
            before, table, after = text.partition(f"[instruments.{name}]")
            text = before + table + after.replace('address = "sim"', f'address = "{address}"', 1)
        path = tmp_path / "real.toml"
        path.write_text(text, encoding="utf-8")
        with open_bench(path) as bench:
            assert not bench.simulated
            assert bench.identify()["smu"].model == "Model 2636B"
            reading = bench.read_port("w2_d1", "longitudinal", 1e-4)
            assert reading.voltage_v / 1e-4 == pytest.approx(4000, rel=0.1)  # 20 of 40 um, 400 ohm/sq
            second = subprocess.run(
                hilab("bench", "identify", path), capture_output=True, text=True, check=False
            )
            assert second.returncode == 1
            assert f"is in use by process {os.getpid()}" in second.stderr
        assert all(report.verified for report in bench.last_safe)
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=10)
        assert server.returncode == 0
