"""The 707B driver's bytes, and what it makes of the answers."""

from __future__ import annotations

import pytest

from drivers.keithley707b import Keithley707B
from hilab.errors import BenchError
from hilab.roles import Instrument, Output, Switch

CLOSED = 'print(channel.getclose("allslots"))'


def test_it_takes_its_role(scripted, clock):
    matrix = Keithley707B(scripted(), name="matrix", clock=clock)
    assert isinstance(matrix, Switch)
    assert isinstance(matrix, Instrument)
    assert isinstance(matrix, Output)


def test_relays_are_opened_closed_and_read_back(scripted, clock):
    wire = scripted({CLOSED: "1A01;1B02"})
    matrix = Keithley707B(wire, name="matrix", clock=clock)
    matrix.open_all()
    matrix.close_channels(())
    matrix.close_channels(("1A01", "1B02"))
    assert matrix.closed_channels() == ("1A01", "1B02")
    assert wire.sent == ['channel.open("allslots")', 'channel.close("1A01,1B02")', CLOSED]


def test_a_change_of_route_is_one_message_and_its_answer(scripted, clock):
    line = f'channel.exclusiveclose("1A01,1B02") {CLOSED}'
    wire = scripted({line: "1A01;1B02"})
    Keithley707B(wire, name="matrix", clock=clock).close_only(("1A01", "1B02"))
    assert wire.sent == [line]


def test_relays_that_did_not_move_are_an_error_with_the_boxs_reason(scripted, clock):
    line = f'channel.exclusiveclose("5A01") {CLOSED}'
    wire = scripted(
        {
            line: "nil",
            "print(errorqueue.count)": "1.00000e+00",
            "print(errorqueue.next())": "1.11500e+03\tParameter error, no such channel 5A01\t2.00000e+01\t1",
        }
    )
    with pytest.raises(BenchError, match=r"asked to close 5A01, it reports nothing \(1115, Parameter error"):
        Keithley707B(wire, name="matrix", clock=clock).close_only(("5A01",))


@pytest.mark.parametrize("channel", ["1!3", "A01", "1A1", '1A01") x("', "7A01"])
def test_what_is_no_crosspoint_never_leaves_the_driver(scripted, clock, channel):
    wire = scripted()
    matrix = Keithley707B(wire, name="matrix", clock=clock)
    for method in (matrix.close_channels, matrix.close_only):
        with pytest.raises(BenchError, match="is no crosspoint"):
            method((channel,))
    assert wire.sent == []


@pytest.mark.parametrize(("answer", "detail"), [("nil", ""), ("3H12", "still closed: 3H12")])
def test_open_is_read_back(scripted, clock, answer, detail):
    wire = scripted({CLOSED: answer})
    matrix = Keithley707B(wire, name="matrix", clock=clock)
    report = matrix.make_safe()
    assert wire.sent[:2] == ['channel.open("allslots")', CLOSED]
    assert report.verified == (not detail)
    assert detail in report.detail
