"""Messages are cut at the separators that count, and only there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_instruments.scpi.errors import ScpiError
from sim_instruments.scpi.lexer import block_bounds, cut, split_outside
from sim_instruments.scpi.parameters import Block, Text, block, quote


def test_separators_in_quotes_blocks_and_lists_do_not_count() -> None:
    message = "A 'x;y';B \"p;q\";C #13;;;;D (@1!1,1!2);E"
    assert split_outside(message, ";") == ["A 'x;y'", 'B "p;q"', "C #13;;;", "D (@1!1,1!2)", "E"]


def test_commas_in_quotes_and_channel_lists_do_not_count() -> None:
    assert split_outside("1,'a,b',(@1!1,1!2), 4 ", ",") == ["1", "'a,b'", "(@1!1,1!2)", "4"]


def test_a_block_keeps_bytes_that_look_like_white_space() -> None:
    assert split_outside("DATA #14 \n\t ", ";") == ["DATA #14 \n\t "]


def test_a_number_in_another_base_is_no_block() -> None:
    assert split_outside("A #H1F;B", ";") == ["A #H1F", "B"]


@pytest.mark.parametrize(
    ("text", "code"),
    [("A 'open", -151), ("A #9123", -161), ("A #15abc", -161), ("A #2x1abc", -161), ("A (@1!1", -170)],
)
def test_what_is_not_closed_is_refused(text: str, code: int) -> None:
    with pytest.raises(ScpiError) as refusal:
        split_outside(text, ";")
    assert refusal.value.code == code


def test_header_mark_and_arguments() -> None:
    assert cut("SOUR:CURR? MAX") == ("SOUR:CURR", True, "MAX")
    assert cut("*ESE  32") == ("*ESE", False, "32")
    assert cut(":OUTP") == (":OUTP", False, "")
    assert cut(":*CLS") == ("*CLS", False, "")


@pytest.mark.parametrize("text", ["1CURR", "SOUR:CURR=1", "SOUR::CURR 1", "?", "*", "SOUR:CURR??"])
def test_no_header_is_a_syntax_error(text: str) -> None:
    with pytest.raises(ScpiError) as refusal:
        cut(text)
    assert refusal.value.code == -102


def test_a_foreign_letter_is_an_invalid_character() -> None:
    with pytest.raises(ScpiError) as refusal:
        cut("µA 1")
    assert refusal.value.code == -101


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=255), max_size=40))
def test_quoted_text_survives_the_way_through_a_message(text: str) -> None:
    units = split_outside(f"A {quote(text)};B", ";")
    assert units[-1] == "B"
    assert Text().parse(cut(units[0]).arguments) == text


@given(st.binary(max_size=300))
def test_bytes_survive_the_way_through_a_message(content: bytes) -> None:
    message = (b"DATA " + block(content) + b";B").decode("latin-1")
    units = split_outside(message, ";")
    assert units[-1] == "B"
    assert Block().parse(cut(units[0]).arguments) == content


def test_an_indefinite_block_takes_the_rest() -> None:
    assert block_bounds("#0abc;d") == (2, 7)


@given(st.text(max_size=60))
def test_any_text_is_cut_or_refused(text: str) -> None:
    try:
        parts = split_outside(text, ";")
    except ScpiError:
        return
    assert sum(len(part) for part in parts) <= len(text)
