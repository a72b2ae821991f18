"""Which player plays, and the sentence that says why."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import hilab
from hilab.bench import Bench
from hilab.bench.choice import Choice
from hilab.errors import UsageError
from hilab.frames import FrameBatch, PlanRefused


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with hilab.open_bench("sot_fast") as opened:
        yield opened


def batch(bench: Bench, frames: int = 100, **times: float) -> FrameBatch:
    card = bench.card("w2_d1")
    read_a = 0.6 * card.limits.read_max_a
    return FrameBatch.of(["w2_d1"], np.zeros(frames, int), 3e-4, -3e-4, read_a, **times)


def test_the_fastest_is_chosen_and_the_sentence_says_by_how_much(bench: Bench) -> None:
    choice = bench.choice(batch(bench))
    assert choice.player == "keithley2636b_tsp"
    ratio = choice.duration_s["software_loop"] / choice.duration_s["keithley2636b_tsp"]
    assert choice.why.startswith("keithley2636b_tsp plays 100 frames in ")
    assert f"{ratio:.3g} times faster than software_loop" in choice.why
    assert "keithley6221_pulse_delta" in choice.why
    assert "the pulse source is no Keithley 6221" in choice.why


def test_the_reason_is_the_plans_last_note_also_of_a_remembered_choice(bench: Bench) -> None:
    first, second = bench.plan(batch(bench)), bench.plan(batch(bench))
    assert first.notes[-1] == second.notes[-1] == bench.choice(batch(bench)).why


def test_a_player_that_refuses_the_batch_is_named_with_its_reason(bench: Bench) -> None:
    choice = bench.choice(batch(bench, 5, reset_width_s=1.5))
    assert choice.player == "software_loop"
    assert "is the only one that can" in choice.why
    assert "keithley2636b_tsp: refused, reset_width_s = 1.5 s is outside" in choice.why


def test_a_player_that_was_asked_for_plays(bench: Bench) -> None:
    plan = bench.plan(batch(bench), "software_loop")
    assert plan.player == "software_loop"
    assert plan.notes[-1].endswith("as was asked for")


def test_the_bench_can_be_told_to_play_everything_with_one(bench: Bench) -> None:
    bench.always_play_with("software_loop")
    try:
        assert bench.player == "software_loop"
        assert bench.plan(batch(bench)).player == "software_loop"
        with pytest.raises(PlanRefused):
            bench.plan(batch(bench, write_width_s=20e-6))
    finally:
        bench.always_play_with(None)
    assert bench.plan(batch(bench)).player == "keithley2636b_tsp"


@pytest.mark.parametrize(
    ("player", "said"),
    [
        ("keithley6221_pulse_delta", "cannot play on this bench: the pulse source is no Keithley 6221"),
        ("keithley2636b_tps", "there is no player 'keithley2636b_tps', did you mean 'keithley2636b_tsp'"),
    ],
)
def test_a_player_that_cannot_is_refused_in_one_sentence_when_the_bench_opens(player: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        hilab.open_bench("sot_fast", player=player)
    assert len(refused.value.problems) == 1


def test_players_refused_for_the_same_reasons_are_said_together() -> None:
    choice = Choice(
        "a", 7, {"a": 2e-3, "b": 6e-3, "c": 4e-3}, {"d": ("too slow",), "e": ("too slow",), "f": ("x", "y")}
    )
    assert choice.why == (
        "a plays 7 frames in 2 ms, 2 times faster than c (4 ms); d, e: refused, too slow; "
        "f: refused, x (and 1 more reasons)"
    )
