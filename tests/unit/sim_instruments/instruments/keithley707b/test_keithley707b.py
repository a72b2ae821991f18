"""The switching matrix: lists, rules and times of its relays, patterns, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def test_identity_and_cards(matrix: Any) -> None:
    assert matrix.ask("*IDN?").startswith("KEITHLEY INSTRUMENTS INC.,MODEL 707B,")
    assert matrix.ask("print(localnode.model, slot[1].idn)").startswith("707B\t7072,")
    assert matrix.ask("print(slot[2].idn)") == "Empty Slot"
    assert matrix.ask("print(slot[3].rows.matrix * slot[3].columns.matrix)") == "9.60000e+01"


def test_the_manuals_example_runs_as_written(matrix: Any) -> None:
    matrix.tell('channel.exclusiveclose("")', 'channel.close("1D01,1E12")')
    assert matrix.ask('print(channel.getclose("slot1"))') == "1D01;1E12"
    matrix.tell('channel.pattern.setimage("1B02,1B04,1B06", "myChans")')
    matrix.tell('channel.exclusiveclose("1A01:1A05, 1C03, myChans")')
    assert matrix.ask('print(channel.getclose("slot1"))') == ("1A01;1A02;1A03;1A04;1A05;1B02;1B04;1B06;1C03")
    assert matrix.errors() == []


def test_closing_adds_and_exclusive_closing_does_not(matrix: Any) -> None:
    matrix.tell('channel.close("1A01,1B02")', 'channel.close("3A01")')
    assert matrix.closed() == "1A01;1B02;3A01"
    matrix.tell('channel.exclusiveslotclose("1A05")')
    assert matrix.closed() == "1A05;3A01"
    matrix.tell('channel.exclusiveclose("3H12;1A05")')
    assert matrix.closed() == "1A05;3H12"
    assert matrix.ask('print(channel.getstate("1A05,1A06"))') == "1,0"
    matrix.tell('channel.open("slot1")')
    assert matrix.closed() == "3H12"
    matrix.tell('channel.exclusiveclose("")')
    assert matrix.closed() == "nil"


def test_relays_that_are_where_they_shall_be_do_not_move(matrix: Any) -> None:
    matrix.tell('channel.close("1A01,1B02")')
    matrix.world.moves.clear()
    matrix.tell('channel.exclusiveclose("1A01,1B03")')
    assert [(name, closed) for _, name, closed in matrix.world.moves] == [
        ("matrix.1B02", False),
        ("matrix.1B03", True),
    ]
    assert matrix.ask('print(channel.getcount("1A01,1B03,1C01"))') == "1,1,0"


@pytest.mark.parametrize(
    ("rule", "opened_s", "closed_s", "done_s"),
    [
        ("BREAK_BEFORE_MAKE", 0.0, 0.005, 0.010),
        ("MAKE_BEFORE_BREAK", 0.005, 0.0, 0.010),
        ("OFF", 0.0, 0.0, 0.005),
    ],
)
def test_the_connect_rule_orders_the_relays(
    matrix: Any, rule: str, opened_s: float, closed_s: float, done_s: float
) -> None:
    matrix.tell('channel.close("1A01")', f"channel.connectrule=channel.{rule}")
    matrix.world.moves.clear()
    start = matrix.world.now
    matrix.tell('channel.exclusiveclose("1A02") print(1)')
    when = {closed: moved - start for moved, _, closed in matrix.world.moves}
    assert when == {False: pytest.approx(opened_s), True: pytest.approx(closed_s)}
    assert matrix.world.now - start == pytest.approx(done_s)


def test_the_answer_comes_when_the_relays_rest(matrix: Any) -> None:
    matrix.tell('channel.close("1A01")')
    start = matrix.world.now
    matrix.box.message(b'channel.exclusiveclose("1A02") print(channel.getclose("allslots"))')
    assert matrix.box.reply(start) is None
    assert matrix.box.reply_ready_s() == pytest.approx(start + 5e-3)  # and then another wait
    matrix.world.advance(start + 9e-3)
    assert matrix.box.reply(matrix.world.now) is None
    matrix.world.advance(start + 10e-3)
    assert matrix.box.reply(matrix.world.now) == b"1A02\n"


def test_sequential_closing_and_delays_add_up(matrix: Any) -> None:
    matrix.tell('channel.setdelay("1A01:1A03", 0.1)')
    assert matrix.ask('print(channel.getdelay("1A03,1A04"))') == "1.00000e-01,0.00000e+00"
    start = matrix.world.now
    matrix.tell('channel.close("1A01:1A03")')
    assert matrix.world.now - start == pytest.approx(0.105)  # at once: the longest delay
    matrix.tell('channel.open("allslots")', "channel.connectsequential=channel.ON")
    start = matrix.world.now
    matrix.tell('channel.close("1A01:1A03")')
    assert matrix.world.now - start == pytest.approx(3 * 0.105)


@pytest.mark.parametrize(
    "line",
    [
        'channel.close("2A01")',  # the slot is empty
        'channel.close("1A13")',
        'channel.close("1J01")',
        'channel.close("7A01")',
        'channel.close("1A05:1A01")',
        'channel.close("allslots")',
        'channel.close("1A01,nobody")',
        'channel.exclusiveclose("slot1")',
        "channel.close(nil)",
        'channel.open(channel.getclose("slot3"))',  # nil when nothing is closed, as the manual warns
        'channel.setdelay("1A01", -1)',
        'channel.connectrule = "fast"',
        'channel.pattern.setimage("1A01", "1path")',
        'channel.pattern.delete("nobody")',
    ],
)
def test_what_is_refused_moves_no_relay(matrix: Any, line: str) -> None:
    matrix.tell('channel.close("1H01")')
    matrix.world.moves.clear()
    matrix.tell(line)
    assert matrix.errors() == [1115]
    assert matrix.world.moves == []


def test_an_invented_command_ends_its_line(matrix: Any) -> None:
    matrix.tell('channel.shut("1A01") channel.close("1A02")')
    assert matrix.errors() == [-286]
    assert matrix.closed() == "nil"


def test_patterns_are_stored_listed_and_forgotten(matrix: Any) -> None:
    matrix.tell('channel.close("1A01,3B02")', 'channel.pattern.snapshot("P1")')
    assert matrix.ask('print(channel.pattern.getimage("P1"))') == "1A01,3B02"
    matrix.tell('channel.open("allslots")', 'channel.close("P1")')
    assert matrix.closed() == "1A01;3B02"
    matrix.tell('channel.pattern.delete("P1")', 'channel.close("P1")')
    assert matrix.errors() == [1115]


def test_reset_and_power_open_everything_and_only_power_empties_the_queue(matrix: Any) -> None:
    matrix.tell('channel.close("1A01")', "channel.connectrule=0", 'channel.close("9A01")', "*RST")
    assert matrix.closed() == "nil"
    assert matrix.ask("print(channel.connectrule, errorqueue.count)") == "1.00000e+00\t1.00000e+00"
    matrix.tell('channel.close("1A01")')
    matrix.box.power_cycle()
    assert matrix.closed() == "nil"
    assert matrix.errors() == []
    assert matrix.world.moves[-1][1:] == ("matrix.1A01", False)


def test_a_device_clear_leaves_the_relays_and_drops_the_answer(matrix: Any) -> None:
    matrix.tell('channel.close("1A01")')
    matrix.box.message(b'print(channel.getclose("allslots"))')
    assert matrix.box.status_byte() & 16
    matrix.box.device_clear()
    assert matrix.box.reply(matrix.world.now) is None
    assert matrix.closed() == "1A01"


def test_a_snapshot_brings_everything_back(matrix: Any, make_matrix: Any) -> None:
    matrix.tell('channel.close("1A01,3B02")', 'channel.setdelay("1A01", 0.2)', "channel.connectrule=2")
    matrix.tell('channel.pattern.setimage("1C03", "P1")', 'channel.close("9A01")', "x = 5")
    other = make_matrix()
    other.box.restore(matrix.box.snapshot())
    other.world.advance(matrix.world.now)
    assert other.closed() == "1A01;3B02"
    assert other.ask('print(channel.getdelay("1A01"), channel.connectrule, x)') == (
        "2.00000e-01\t2.00000e+00\t5.00000e+00"
    )
    other.tell('channel.close("P1")')
    assert other.closed() == "1A01;1C03;3B02"
    assert other.errors() == [1115]


@pytest.mark.parametrize("options", [{"cards": ["7011"]}, {"cards": ["7072"] * 7}, {"speed": 1}])
def test_what_does_not_fit_in_a_707b_is_said(make_matrix: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"instrument '?matrix'?: .*"):
        make_matrix(**options)


ITEMS = st.one_of(
    st.sampled_from(["1A01", "3H12", "1A01:1C04", "slot1", "allslots", "P1", "2A01", "1A13", "", " ", "#12"]),
    st.text("1369AHP:;, ", max_size=8),
)
LINES = st.one_of(
    st.builds(
        'channel.{}("{}") print(channel.getclose("allslots"))'.format,
        st.sampled_from(["open", "close", "exclusiveclose", "exclusiveslotclose", "getstate", "reset"]),
        st.lists(ITEMS, max_size=4).map(",".join),
    ),
    st.text(st.characters(codec="ascii", exclude_characters="\r\n"), max_size=40),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, max_size=5))
def test_whatever_is_sent_the_box_answers_and_knows_its_relays(make_matrix: Any, lines: list[str]) -> None:
    matrix = make_matrix()
    for line in lines:
        matrix.box.message(line.encode())
        matrix.world.advance(matrix.world.now + 1.0)
    matrix.box.device_clear()
    closed: set[str] = set()
    for _, name, close in matrix.world.moves:
        (closed.add if close else closed.discard)(name.partition(".")[2])
    answer = matrix.closed()
    assert set(answer.split(";")) - {"nil"} == closed
