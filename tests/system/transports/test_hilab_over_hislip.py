"""hilab's own drivers on real VISA addresses: every instrument behind HiSLIP, on the wall clock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hilab import paths
from hilab.bench import Bench, open_bench
from hilab.bench.check import read_bench_file
from hilab.bench.opening import twin_tables
from hilab.frames import FrameBatch
from sim_instruments.serve import serve_bench


@pytest.fixture(params=["sot_digitiser", "sot_waveform"])
def bench(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Bench, Any]]:
    monkeypatch.setenv("HILAB_HOME", str(tmp_path))
    source = paths.find_bench(request.param)
    tables = twin_tables(read_bench_file(source))
    tables["simulation"] |= {"setting": "ideal"}
    text = source.read_text(encoding="utf-8").partition("\n[simulation]")[0]
    with serve_bench(**tables, seed=7) as server:
        for name, (_, _, address) in server.hislip.items():
            text = re.sub(
                rf'(\[instruments\.{name}\]\n.*\n)address = "sim"', rf'\1address = "{address}"', text
            )
        path = tmp_path / "hislip.toml"
        path.write_text(text, encoding="utf-8")
        with open_bench(path) as opened:
            yield opened, server.bench.world
            reports = opened.make_safe()
        assert all(report.verified for report in reports)
        assert server.bench.world.faults == []


def test_reading_routing_and_pulses(bench: tuple[Bench, Any]) -> None:
    opened, world = bench
    along = opened.read_port("w4_d1", "longitudinal", 2e-4)
    assert along.voltage_v / along.current_a == pytest.approx(2000, rel=0.05)
    opened.pulse("w4_d1", 2.2e-3, 100e-6)
    opened.route("w8_d1")
    closed = opened.role("switch").closed_channels()
    assert len(closed) == 2
    assert {name.partition(".")[2] for name in world.wiring.closed} == set(closed)


def test_frames(bench: tuple[Bench, Any]) -> None:
    opened, _ = bench
    signs = np.array([1.0, -1.0] * 4)
    batch = FrameBatch.of(
        ["w4_d1"], 0, signs * 2e-3, -signs * 2e-3, 0.4e-3, integration_s=opened.integration_s
    )
    readings = opened.play(opened.plan(batch))
    assert readings.clean.all()
    high, low = readings.voltage_v[signs > 0], readings.voltage_v[signs < 0]
    assert abs(high.mean() - low.mean()) == pytest.approx(0.4e-3, rel=0.3)  # the loop opens by 1 ohm
