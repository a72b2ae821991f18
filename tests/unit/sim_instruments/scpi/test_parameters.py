"""Each type of parameter takes what the boxes take and refuses the rest with the standard's code."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_instruments.scpi.errors import ScpiError
from sim_instruments.scpi.parameters import (
    Block,
    Boolean,
    Channels,
    Choice,
    Number,
    NumberList,
    Parameter,
    Text,
    number_block,
    parse_arguments,
)


def code_of(parameter: Parameter, text: str) -> int:
    with pytest.raises(ScpiError) as refusal:
        parameter.parse(text)
    return refusal.value.code


@given(st.floats(allow_nan=False, allow_infinity=False, width=64))
def test_numbers_survive(value: float) -> None:
    assert Number().parse(f"{value!r}") == value
    assert Number().parse(f"{value:+.17E}") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (".5", 0.5),
        ("5.", 5.0),
        ("+1e3", 1e3),
        ("1E-3", 1e-3),
        ("-0.105", -0.105),
        ("#H1F", 31),
        ("#B101", 5),
        ("#Q17", 15),
    ],
)
def test_forms_of_a_number(text: str, value: float) -> None:
    assert Number().parse(text) == value


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("abc", -104), ("'1'", -104), ("1.2.3", -121), ("1_000", -121), ("nan", -104), ("inf", -104),
        ("--1", -121), ("#HXY", -121), ("1 A", -138), ("2", -222), ("-2", -222), ("1e999", -222), ("", -104),
    ],
)  # fmt: skip
def test_what_is_no_number_here(text: str, code: int) -> None:
    assert code_of(Number(-1, 1), text) == code


def test_units_and_prefixes() -> None:
    ampere, hertz = Number(unit="A"), Number(unit="HZ")
    assert ampere.parse("20 mA") == pytest.approx(20e-3)
    assert ampere.parse("3UA") == pytest.approx(3e-6)
    assert ampere.parse("2 A") == 2
    assert hertz.parse("1 MHZ") == 1e6
    assert code_of(ampere, "2 V") == -131
    assert code_of(ampere, "2 XA") == -131


def test_named_numbers() -> None:
    number = Number(-1, 5, 2, infinite=True)
    assert [number.parse(word) for word in ("MIN", "max", "DEF", "INF", "infinity")] == [
        -1,
        5,
        2,
        math.inf,
        math.inf,
    ]
    assert Number(0, 10, integer=True).parse("3.4") == 3


@pytest.mark.parametrize(
    ("text", "value"), [("ON", True), ("off", False), ("1", True), ("0", False), ("2", True)]
)
def test_booleans(text: str, value: bool) -> None:
    assert Boolean().parse(text) is value


def test_what_is_no_boolean() -> None:
    assert code_of(Boolean(), "YES") == -104


def test_choices() -> None:
    choice = Choice("FIXed", "BEST")
    assert [choice.parse(word) for word in ("FIX", "fixed", "BEST")] == ["FIX", "FIX", "BEST"]
    assert code_of(choice, "FIXE") == -224
    assert code_of(choice, "3") == -104
    quoted = Choice("VOLTage", "VOLTage:DC", quoted=True)
    assert quoted.parse("'VOLT:DC'") == quoted.parse('"voltage:dc"') == "VOLT:DC"
    assert code_of(quoted, "VOLT") == -104
    assert code_of(quoted, "'CURR'") == -224


def test_texts() -> None:
    assert Text().parse("'it''s'") == "it's"
    assert code_of(Text(), "bare") == -104
    assert code_of(Text(longest=2), "'abc'") == -223


def test_channel_lists() -> None:
    assert Channels().parse("(@1!1, 1!11:1!13)") == ("1!1", "1!11:1!13")
    assert Channels().parse("(@)") == ()
    assert code_of(Channels(), "1!1") == -104
    assert code_of(Channels(), "(1!1)") == -170
    assert code_of(Channels(), "ALL") == -104
    assert Channels(takes_all=True).parse("all") == ("ALL",)


@given(st.lists(st.floats(-0.105, 0.105), min_size=1, max_size=100))
def test_lists_survive(values: list[float]) -> None:
    parsed = NumberList(-0.105, 0.105, 100).parse(", ".join(f"{value!r}" for value in values))
    np.testing.assert_array_equal(parsed, values)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1,,2", -109),
        ("1,2,", -109),
        ("1,x", -104),
        ("1,1-2", -121),
        ("1,9", -222),
        ("1,1,1,1,1", -223),
        ("nan", -104),
    ],
)
def test_lists_that_are_wrong(text: str, code: int) -> None:
    assert code_of(NumberList(0, 5, 4), text) == code


def test_blocks() -> None:
    assert Block().parse("#13abc") == b"abc"
    assert code_of(Block(), "abc") == -104
    assert code_of(Block(), "#15abc") == -161
    assert code_of(Block(), "#13abcd") == -161


@given(st.lists(st.floats(allow_nan=False, width=32), max_size=50), st.booleans())
def test_numbers_in_blocks_of_both_byte_orders(values: list[float], swapped: bool) -> None:
    array = np.array(values, dtype=float)
    sent = number_block(array, single=True, swapped=swapped).decode("latin-1")
    received = np.frombuffer(Block().parse(sent), dtype="<f4" if swapped else ">f4")
    np.testing.assert_array_equal(received, array)


def test_number_of_parameters() -> None:
    two = (Number(), Number())
    assert parse_arguments("1, 2", two, 2) == [1, 2]
    assert parse_arguments("1", two, 1) == [1]
    for text, code in (("1,2,3", -108), ("1", -109), ("", -109), ("1,", -109)):
        with pytest.raises(ScpiError) as refusal:
            parse_arguments(text, two, 2)
        assert refusal.value.code == code
    with pytest.raises(ScpiError) as refusal:
        parse_arguments("1", (), 0)
    assert refusal.value.code == -108
    with pytest.raises(ScpiError) as refusal:
        parse_arguments(" ", (NumberList(0, 1, 3),), 1)
    assert refusal.value.code == -109
