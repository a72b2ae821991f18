"""Pulses and reads by hand where the source is a voltage: the current is what was asked, or nothing."""

from __future__ import annotations

import numpy as np
import pytest

from hilab.errors import BenchError
from hilab.frames import FrameBatch, PlanRefused


@pytest.fixture
def watched(open_named):
    """Opens a bench and keeps the largest current of each pulse that its source plays (A)."""

    def open_it(**overrides):
        bench = open_named("sot_waveform", **overrides)
        currents = []
        play = bench.twin.world.play

        def remembered(terminal, train):
            trace = play(terminal, train)
            if len(train.start_s):
                currents.append(float(abs(trace.current_a).max()))
            return trace

        bench.twin.world.play = remembered
        return bench, currents

    return open_it


@pytest.mark.parametrize("r_ohm", [6500.0, 8000.0, 10000.0])
def test_a_pulse_has_the_asked_current_whatever_the_file_says_of_the_line(watched, r_ohm):
    bench, currents = watched(kinds__w2__r_ohm=r_ohm)
    bench.pulse("w2_d1", 1.0e-3, 100e-6)
    bench.pulse("w2_d1", -1.0e-3, 100e-6)
    bench.make_safe()
    assert currents == pytest.approx([1e-3, 1e-3], rel=0.01)
    assert bench.wear("w2_d1") == (1, 1)


def test_a_line_that_is_not_as_the_file_says_gets_no_pulse(watched):
    bench, currents = watched(kinds__w2__r_ohm=12000.0)
    with pytest.raises(BenchError, match=r"w2_d1: its line has 80\d\d ohm, not the 1.201e\+04 ohm"):
        bench.pulse("w2_d1", 0.8e-3, 100e-6)
    assert not currents
    assert bench.wear("w2_d1") == (0, 0)
    assert bench.instruments["awg"].verify_safe()


def test_an_open_line_gets_no_pulse_and_no_wear(watched):
    bench, currents = watched(simulation__open_contacts=["w2_d1.current"])
    with pytest.raises(BenchError, match="w2_d1: its current line is open"):
        bench.pulse("w2_d1", 0.5e-3, 100e-6)
    assert not currents
    assert bench.wear("w2_d1") == (0, 0)


def test_a_width_that_the_source_does_not_make_costs_no_wear(watched):
    bench, _ = watched()
    with pytest.raises(BenchError, match="'awg' makes pulses of 1e-06 to 1000 s, not of 1e-09 s"):
        bench.pulse("w2_d1", 0.5e-3, 1e-9)
    assert bench.wear("w2_d1") == (0, 0)


@pytest.mark.parametrize("player", ["waveform", "software_loop"])
def test_without_a_shunt_a_part_of_the_limit_is_kept_free(open_named, player):
    """Nobody knows the line, so nobody knows the current to better than the line's tolerance."""
    bench = open_named("sot_waveform")
    bench._shunts._wires.clear()
    assert bench.shunt is None
    limit_a = bench.devices["w2_d1"].limits.current_max_a(100e-6)
    integration_s = 160e-6 if player == "waveform" else 0.02
    frames = [
        FrameBatch.of(["w2_d1"], 0, np.full(4, part * limit_a), -1e-4, 1e-4, integration_s=integration_s)
        for part in (0.95, 0.9)
    ]
    with pytest.raises(PlanRefused, match=r"w2_d1: write amplitude .* that no shunt measures: lower the amp"):
        bench.plan(frames[0], player)
    assert bench.plan(frames[1], player).amplitude_uncertainty == pytest.approx(0.1)
    with pytest.raises(BenchError, match="outside its envelope"):
        bench.pulse("w2_d1", 0.95 * limit_a, 100e-6)
