"""Rows of the table of speeds: what is met, and that nothing is told that was not measured."""

from __future__ import annotations

import pytest

from hilab.frames import PlanRefused
from hilab.speed import table
from hilab.speed.rows import Row, Timing, timed, unmeasured
from hilab.speed.storage import storage_rows

KEYS = {"what", "ours", "unit", "peer", "peer_name", "ratio", "bar", "met"}


@pytest.mark.parametrize(
    ("row", "ratio", "met"),
    [
        (Row("a", 2e6, "frames/s", 1e6, ""), None, True),
        (Row("a", 0.9e6, "frames/s", 1e6, ""), None, False),
        (Row("a", 50.0, "1/s", 100.0, "", 1.0, "peer", "ratio"), 50.0, False),
        (Row("a", 0.2, "s", 0.3, "", at_most=True), None, True),
        (Row("a", 0.4, "s", 0.3, "", 0.8, "peer", at_most=True), 2.0, False),
        (Row("a", 0.4, "s", 2.0, "", 0.8, "peer", "ratio", at_most=True), 2.0, True),
        (unmeasured("a", "s", 2.0, "not built yet"), None, None),
    ],
)
def test_bars_and_ratios(row: Row, ratio: float | None, met: bool | None) -> None:
    assert (row.ratio, row.met) == (ratio, met)
    document = row.document()
    assert document.keys() >= KEYS
    assert (document["ratio"], document["met"]) == (ratio, met)


def test_the_first_call_is_not_timed() -> None:
    calls: list[int] = []
    taken = timed(lambda: calls.append(1), 3)
    assert len(calls) == 4
    assert isinstance(taken, Timing) and 0 <= taken.best_s <= taken.median_s


def test_what_fails_is_a_row_that_says_why_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> object:
        raise PlanRefused(["the bench is too slow"])

    good = Row("good", 1.0, "s", 1.0, "")
    groups = [("bad", refused), ("good", lambda: iter([good]))]
    monkeypatch.setattr(table, "_groups", lambda effort: iter(groups))
    bad, other = table.measured(True)
    assert (bad.what, bad.ours, bad.how, other) == ("bad", None, "the bench is too slow", good)


def test_storage_is_measured_beside_its_peer() -> None:
    blocks, single = storage_rows(blocks=20, rounds=1)
    assert blocks.ratio is not None and blocks.ratio > 1
    assert single.ours is not None and single.ours > 0
    assert "one live subscriber" in blocks.how
