"""Bench time is booked by kind, to the innermost block; pulses and energy by device."""

from __future__ import annotations

import numpy as np
import pytest

from hilab.bench.accounts import Account, Accounts
from hilab.frames import SPENT, FrameBatch, FramePlan
from sim_instruments.world.clock import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(100.0)


@pytest.fixture
def accounts(clock: VirtualClock) -> Accounts:
    return Accounts(clock)


def plan(frames: int, write_width_s: float = 100e-6, wrong_a: float = 0.0) -> FramePlan:
    batch = FrameBatch.of(["a"], np.zeros(frames, int), 1e-3, -1e-3, 1e-4, write_width_s=write_width_s)
    return FramePlan(
        "player",
        batch,
        batch,
        np.arange(frames),
        (),
        1e-3,
        1.0,
        0,
        batch.pulses(),
        {"a": 1e-4},
        ("because",),
        quantisation_a=wrong_a,
    )


def test_time_is_booked_to_the_innermost_block_and_else_to_the_host(
    accounts: Accounts, clock: VirtualClock
) -> None:
    clock.sleep(1.0)
    with accounts.spending("arm"):
        clock.sleep(2.0)
        with accounts.spending("relays"):
            clock.sleep(4.0)
        clock.sleep(8.0)
    clock.sleep(16.0)
    spent = accounts.total().spent_s
    assert spent == dict.fromkeys(SPENT, 0.0) | {"host": 17.0, "arm": 10.0, "relays": 4.0}
    assert sum(spent.values()) == clock.now() - 100.0


def test_a_block_that_fails_is_booked_too(accounts: Accounts, clock: VirtualClock) -> None:
    with pytest.raises(RuntimeError), accounts.spending("fetch"):
        clock.sleep(3.0)
        raise RuntimeError
    clock.sleep(1.0)
    spent = accounts.total().spent_s
    assert (spent["fetch"], spent["host"]) == (3.0, 1.0)


def test_an_unknown_kind_is_refused(accounts: Accounts) -> None:
    with (
        pytest.raises(ValueError, match="no bench time is of kind 'lunch'; there are: upload"),
        accounts.spending("lunch"),
    ):
        pass


def test_a_bench_put_back_in_time_books_nothing_negative(accounts: Accounts, clock: VirtualClock) -> None:
    clock.sleep(5.0)
    accounts.total()
    clock.jump(101.0)
    accounts.jumped()
    clock.sleep(2.0)
    assert accounts.total().spent_s["host"] == 7.0


def test_what_a_run_cost_is_the_difference_of_two_accounts(accounts: Accounts, clock: VirtualClock) -> None:
    accounts.count({"a": (5, 5)}, {"a": 1.0})
    accounts.played(plan(10))
    before = accounts.total()
    accounts.count({"a": (1, 2), "b": (4, 0)}, {"a": 0.25})
    accounts.take_back({"b": (4, 0)}, {})
    accounts.played(plan(20, wrong_a=1e-8))
    accounts.played(plan(3, write_width_s=1e-3))
    with accounts.spending("play"):
        clock.sleep(2.0)
    costs = accounts.total().since(before)
    assert costs.pulses == {"a": (1, 2)}
    assert costs.energy_j == {"a": 0.25}
    assert costs.spent_s == {"play": 2.0}
    assert sorted((one.frames, one.batches) for one in costs.played.values()) == [(3, 1), (20, 1)]


def test_costs_survive_the_way_through_a_checkpoint(accounts: Accounts, clock: VirtualClock) -> None:
    accounts.count({"a": (1, 2)}, {"a": 0.25})
    accounts.played(plan(10, wrong_a=2e-8))
    with accounts.spending("upload"):
        clock.sleep(2.0)
    first = accounts.total()
    again = Account.from_results(first.results())
    assert again.results() == first.results()
    twice = first.plus(again).results()
    assert twice["pulses"] == {"a": {"positive": 2, "negative": 4}}
    assert twice["bench_time"]["upload"] == 4.0
    (played,) = twice["plans"]
    assert (played["frames"], played["batches"], played["quantisation_a"]) == (20, 2, 2e-8)
    assert played["requested"]["integration_s"] == played["actual"]["integration_s"] == 2e-3


def test_no_costs_are_told_of_what_kept_no_account() -> None:
    assert Account.from_results({}) == Account()
