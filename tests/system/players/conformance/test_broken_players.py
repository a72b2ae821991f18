"""Players with one fault each are caught: the checks of this suite fail on them.

Each fault is built into the real player of the fast bench, between plan or readings and the instruments.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hilab.frames import FrameReadings

PLAYER = "keithley2636b_tsp"
FRAMES = 2_300  # as few as a slow player gets


def shifted(player):
    """Readings come back one frame late."""
    play = player.play

    def shifted_play(plan, **rest):
        readings = play(plan, **rest)
        rolled = np.roll(readings.voltage_v, 1)
        return replace(readings, voltage_v=rolled)

    player.play = shifted_play


def swapped(player):
    """Writes go out with the wrong sign."""
    play = player.play

    def swapped_play(plan, **rest):
        return play(replace(plan, actual=replace(plan.actual, write_a=-plan.actual.write_a)), **rest)

    player.play = swapped_play


def dropping(player):
    """One reading in the middle is lost, and those behind it move up."""
    play = player.play

    def dropping_play(plan, **rest):
        readings = play(plan, **rest)
        if len(readings) < 100:
            return readings
        columns = {}
        for name in ("voltage_v", "current_a", "time_s", "flags", "reset_voltage_v"):
            values = getattr(readings, name)[plan.order]
            moved = np.concatenate([np.delete(values, len(values) // 2), values[-1:]])
            back = np.empty_like(values)
            back[plan.order] = moved
            columns[name] = back
        return FrameReadings(**columns)

    player.play = dropping_play


def stronger(units):
    """Writes are too large by so many logistic units of the nominal curve."""

    def change(player):
        play = player.play

        def stronger_play(plan, **rest):
            cards = [player._station.devices[name] for name in plan.batch.devices]
            unit_a = np.array([card.nominal.unit_a for card in cards])[plan.batch.device]
            write_a = plan.actual.write_a
            near = np.abs(write_a) < 1.2 * np.array([card.nominal.i50_a for card in cards])[plan.batch.device]
            more = replace(plan.actual, write_a=write_a + units * near * unit_a)
            return play(replace(plan, actual=more), **rest)

        player.play = stronger_play

    return change


def secretive(player):
    """One pulse that nobody counts."""
    play = player.play

    def secretive_play(plan, **rest):
        readings = play(plan, **rest)
        if len(readings) > 100:
            play(replace(plan, order=plan.order[:1], loads=(replace(plan.loads[0], start=0, stop=1),)))
        return readings

    player.play = secretive_play


@pytest.fixture
def tsp(kit):
    return next(case for case in kit.cases() if case.player == PLAYER)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (shifted, "check_order"),
        (swapped, "check_order"),
        (swapped, "check_counts"),
        (dropping, "check_order"),
        (secretive, "check_counts"),
    ],
)
def test_a_broken_player_is_caught(kit, tsp, fault, check):
    found = kit.measure(tsp, frames=FRAMES, breaking=fault)
    with pytest.raises(AssertionError, match=PLAYER):
        getattr(kit, check)(found)


@pytest.mark.parametrize("units", [0.3, -0.3])
def test_an_amplitude_that_is_wrong_by_a_third_of_a_unit_is_caught_by_the_switching_alone(kit, tsp, units):
    """With 2,070 informative frames such a shift lies 7 standard errors away, 4.1 are allowed."""
    found = kit.measure(tsp, frames=FRAMES, breaking=stronger(units))
    with pytest.raises(AssertionError, match="shifted by"):
        kit.check_agreement(found, len(kit.cases()))


def test_the_sound_player_passes_with_as_few_frames(kit, tsp):
    found = kit.measure(tsp, frames=FRAMES)
    for check in (kit.check_order, kit.check_counts, kit.check_amplitude):
        check(found)
    kit.check_agreement(found, len(kit.cases()))


def test_an_amplitude_error_shows_at_the_device_as_well(kit, tsp):
    def larger(player):
        play = player.play
        player.play = lambda plan, **rest: play(
            replace(plan, actual=replace(plan.actual, write_a=1.003 * plan.actual.write_a)), **rest
        )

    with pytest.raises(AssertionError, match="reached the device"):
        kit.check_amplitude(kit.measure(tsp, frames=200, breaking=larger))
