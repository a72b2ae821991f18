"""What a plan says a batch will cost is what it costs: bench time by kind, pulses and energy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hilab
from hilab.frames import SPENT, FrameBatch
from hilab.speed.players import WAYS, Way

FRAMES = 60
SMALL_S = 0.05
"""Set-ups that are sent only when something changed are not priced."""


def played(way: Way) -> tuple[Any, Any, float]:
    """(plan, what was booked, time that passed) of the second of two equal batches."""
    with hilab.open_bench(way.bench, seed=1) as bench:
        devices = list(bench.devices)[:2]
        cards = [bench.card(name) for name in devices]
        device = np.arange(FRAMES) % 2
        i50_a = np.array([card.nominal.i50_a if card.nominal else np.nan for card in cards])[device]
        read_a = np.array([0.6 * card.limits.read_max_a for card in cards])[device]
        times = {"integration_s": bench.integration_s, **dict(way.times)}
        write_a = i50_a * np.linspace(0.5, 0.7, FRAMES)
        batch = FrameBatch.of(devices, device, write_a, -0.8 * i50_a, read_a, **times)
        bench.play(bench.plan(batch, way.player))
        plan = bench.plan(batch, way.player)
        before, start_s = bench.account(), bench.clock.now()
        bench.play(plan)
        return plan, bench.account().since(before), bench.clock.now() - start_s


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.player)
def test_the_price_of_a_batch(way: Way) -> None:
    plan, cost, took_s = played(way)
    assert set(plan.spent_s) == set(SPENT)
    assert sum(plan.spent_s.values()) == pytest.approx(plan.duration_s, rel=1e-9)
    assert sum(cost.spent_s.values()) == pytest.approx(took_s, rel=1e-9), "every second has a kind"
    assert plan.duration_s == pytest.approx(took_s, rel=0.12, abs=SMALL_S)
    assert plan.spent_s["play"] == pytest.approx(cost.spent_s["play"], rel=0.12, abs=SMALL_S)
    assert cost.spent_s.get("host", 0.0) <= max(0.01 * took_s, SMALL_S)
    assert cost.spent_s["relays"] == pytest.approx(plan.spent_s["relays"], rel=0.5)
    assert cost.pulses == plan.pulses == plan.batch.pulses()
    assert cost.energy_j == pytest.approx(dict(plan.energy_j), rel=1e-9)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.player)
def test_energy_and_quantisation_are_those_of_the_actual_amplitudes(way: Way) -> None:
    plan, _, _ = played(way)
    actual = plan.actual
    with hilab.open_bench(way.bench) as bench:
        for number, name in enumerate(plan.batch.devices):
            mine = actual.device == number
            square_s = np.sum(actual.write_a[mine] ** 2) * actual.write_width_s
            square_s += np.sum(actual.reset_a[mine] ** 2) * actual.reset_width_s
            assert plan.energy_j[name] == pytest.approx(square_s * bench.card(name).r_ohm, rel=1e-9)
    off_a = np.abs(actual.write_a - plan.batch.write_a).max()
    assert plan.quantisation_a == pytest.approx(off_a, rel=1e-9, abs=1e-18)
