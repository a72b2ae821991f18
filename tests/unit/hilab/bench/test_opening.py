"""Opening a bench: identities, outputs off first, and everything undone when something is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hilab.bench import open_bench, safety
from hilab.bench.panic import make_bench_safe
from hilab.bench.safety import NotVerifiedOffError
from hilab.errors import BenchError, BenchFileError

Write = Callable[..., Path]

HOLDER = """
import sys
from hilab.bench import open_bench, safety
with open_bench(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def real(lab: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the drivers with real addresses speak to, fresh."""
    board = lab.Board()
    monkeypatch.setattr(lab, "REAL", board)
    return board


def test_an_instrument_with_another_identity_is_refused_and_told_nothing_else(
    real_bench_file: Write, real: Any
) -> None:
    real.models["magnet"] = "MODEL 2400"
    with pytest.raises(
        BenchError, match=r"'magnet' at GPIB0::4::INSTR answers as ACME MODEL 2400, but .* speaks to a LAB"
    ):
        open_bench(real_bench_file())
    assert [what for name, what in real.told if name == "magnet"] == ["*IDN?"]
    assert not real.on  # what was opened before it is off


def test_a_source_with_another_identity_is_left_alone_and_so_are_the_relays(
    real_bench_file: Write, real: Any
) -> None:
    real.models["src"] = "MODEL 2400"
    with pytest.raises(BenchError, match="nothing else was sent to it"):
        open_bench(real_bench_file())
    assert real.told == [("src", "*IDN?")]


def test_an_instrument_that_does_not_answer_is_named_and_the_others_are_off(
    real_bench_file: Write, real: Any
) -> None:
    real.hung.add("probe")
    with pytest.raises(BenchError, match=r"probe.*did not answer|'probe' .* does not say who it is"):
        open_bench(real_bench_file())
    assert not real.on
    assert ("magnet", "coil off") in real.told


def test_an_output_without_an_off_is_refused_before_anything_is_opened(
    real_bench_file: Write, real: Any
) -> None:
    with pytest.raises(
        BenchError, match=r"'lab_unsafe' of 'src' is refused: .* no make_safe and no verify_safe"
    ):
        open_bench(real_bench_file(("lab_source", "lab_unsafe")))
    assert not real.told


def test_the_addresses_are_free_again_after_a_failure(real_bench_file: Write, real: Any) -> None:
    path = real_bench_file()
    real.models["probe"] = "SOMEBODY"
    with pytest.raises(BenchError, match="SOMEBODY"):
        open_bench(path)
    real.models.clear()
    with open_bench(path) as bench:
        assert not bench.simulated
        assert bench.snapshot() is None
        with pytest.raises(BenchError, match="in use by process"):
            open_bench(path)


@pytest.mark.usefixtures("real")
def test_another_process_that_has_the_bench_is_named(real_bench_file: Write, site: Path) -> None:
    path = real_bench_file()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(site)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    with pytest.raises(BenchError, match=rf"GPIB0::1::INSTR is in use by process {process.pid} on"):
        open_bench(path)
    with pytest.raises(BenchError, match="in use"):
        make_bench_safe(path)
    assert all(report.verified for report in make_bench_safe(path, force=True))
    process.communicate("")
    open_bench(path).close()


def test_a_twin_that_refuses_its_table_is_a_fault_of_the_file(bench_file: Write) -> None:
    with pytest.raises(BenchFileError, match="refuses the bench file: simulation: unknown key 'colour'"):
        open_bench(bench_file(('bench = "lab"', 'bench = "lab"\ncolour = "red"')))


def test_a_source_that_does_not_go_off_is_not_used(
    bench_file: Write, lab: ModuleType, monkeypatch: Any
) -> None:
    monkeypatch.setattr(lab.Source, "verify_safe", lambda self: False)
    with pytest.raises(NotVerifiedOffError) as caught:
        open_bench(bench_file())
    first, second = str(caught.value).splitlines()
    assert "'src' is not verified off (was told to switch off but reads back as on)" in first
    assert "'mux' is not verified off (relays left as they are: src is not verified off)" in second


def test_the_safe_state_goes_on_past_a_driver_that_raises(
    bench_file: Write, lab: ModuleType, monkeypatch: Any
) -> None:
    def broken(self: Any) -> None:
        raise RuntimeError("a bug in this driver")

    bench = open_bench(bench_file())
    bench.set_field(0.01)
    bench.route("bar1")
    monkeypatch.setattr(lab.Source, "make_safe", broken)
    reports = {report.instrument: report for report in bench.make_safe()}
    assert not reports["src"].verified
    assert "a bug in this driver" in reports["src"].detail
    assert not reports["mux"].verified  # relays are not moved under a current that may flow
    assert bench.instruments["mux"].board.closed
    assert reports["magnet"].verified
    bench.close()


def test_a_driver_that_hangs_keeps_nobody_waiting(
    real_bench_file: Write, real: Any, lab: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = open_bench(real_bench_file())
    bench.set_field(0.001, tolerance_t=1.0)
    monkeypatch.setattr(safety, "GUARD_S", 0.5)
    hanging = lab.Hanging("x", name="src", visa_library=None, clock=bench.clock, options={})
    bench.instruments["src"].make_safe = hanging.make_safe  # type: ignore[index]
    start = time.monotonic()
    reports = {report.instrument: report for report in bench.make_safe()}
    assert time.monotonic() - start < 1.5
    assert (reports["src"].verified, reports["magnet"].verified) == (False, True)
    bench.close()
    assert time.monotonic() - start < 1.8  # nobody is waited for twice


def test_everything_off_needs_no_whole_bench(real_bench_file: Write, real: Any) -> None:
    real.hung.add("dvm")  # a voltmeter has no output: it is not needed
    real.models["magnet"] = "MODEL 2400"
    real.closed = {"1!1"}
    reports = {report.instrument: report for report in make_bench_safe(real_bench_file())}
    assert not real.on
    assert not real.closed
    assert reports["src"].verified
    assert reports["mux"].verified
    assert not reports["magnet"].verified
    assert "MODEL 2400" in reports["magnet"].detail
    assert "dvm" not in reports


def test_everything_off_leaves_the_relays_under_a_lost_source(real_bench_file: Write, real: Any) -> None:
    real.hung.add("src")
    real.closed = {"1!1"}
    reports = {report.instrument: report for report in make_bench_safe(real_bench_file())}
    assert not reports["src"].verified
    assert not reports["mux"].verified
    assert real.closed == {"1!1"}
    assert reports["magnet"].verified
