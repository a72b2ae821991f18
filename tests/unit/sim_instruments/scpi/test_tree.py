"""Headers match by their exact short or long form, wherever they stand in the tree."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_instruments.scpi.errors import ScpiError
from sim_instruments.scpi.tree import CommandTree, forms, variants

LEVEL = "SOURce<1>:CURRent[:LEVel][:IMMediate][:AMPLitude]"


@pytest.fixture
def tree() -> CommandTree[str]:
    made: CommandTree[str] = CommandTree()
    made.add(LEVEL, "level")
    made.add("SOURce<1>:CURRent:COMPliance", "compliance")
    made.add("[ROUTe:]CLOSe:STATe", "state")
    made.add("OUTPut<1-4>[:STATe]", "output")
    made.add("CALCulate2:FORMat", "calculate")
    made.add("*RST", "reset")
    return made


def code_of(tree: CommandTree[str], header: str) -> int:
    with pytest.raises(ScpiError) as refusal:
        tree.match(header)
    return refusal.value.code


def test_every_spelling_of_a_pattern_is_found(tree: CommandTree[str]) -> None:
    optional = [("", ":LEV", ":LEVEL"), ("", ":IMM", ":IMMEDIATE"), ("", ":AMPL", ":AMPLITUDE")]
    for source, current, *rest in itertools.product(("SOUR", "SOURce1"), ("CURR", "current"), *optional):
        assert tree.match(f"{source}:{current}{''.join(rest)}").leaf == "level"


@given(st.lists(st.booleans(), min_size=9, max_size=9), st.sampled_from(["SOUR:CURR", "SOURCE:CURRENT"]))
def test_case_does_not_count(upper: list[bool], header: str) -> None:
    tree: CommandTree[str] = CommandTree()
    tree.add(LEVEL, "level")
    mixed = "".join(letter if up else letter.lower() for letter, up in zip(header, upper * 3, strict=False))
    assert tree.match(mixed).leaf == "level"


@pytest.mark.parametrize(
    "header",
    [
        "SOURC:CURR",
        "SOU:CURR",
        "SOUR:CURRE",
        "SOUR:CURR:LEVE",
        "SOUR",
        "SOUR:VOLT",
        "CURR",
        "*RS",
        "SOUR:CURR1",
    ],
)
def test_anything_between_short_and_long_is_undefined(tree: CommandTree[str], header: str) -> None:
    assert code_of(tree, header) == -113


def test_suffixes(tree: CommandTree[str]) -> None:
    assert tree.match("OUTP").suffixes == (1,)
    assert tree.match("OUTP3:STAT").suffixes == (3,)
    assert tree.match("SOUR1:CURR").suffixes == ()
    assert code_of(tree, "OUTP5") == -114
    assert code_of(tree, "SOUR2:CURR") == -114
    assert tree.match("CALC2:FORM").leaf == "calculate"
    assert code_of(tree, "CALC:FORM") == -113


def test_a_header_starts_where_the_last_one_stood(tree: CommandTree[str]) -> None:
    level = tree.match("SOUR:CURR").level
    assert tree.match("CURR:COMP", level).leaf == "compliance"
    level = tree.match("SOUR:CURR:COMP").level
    assert tree.match("LEV", level).leaf == "level"
    with pytest.raises(ScpiError):
        tree.match("SOUR:CURR", level)
    assert tree.match(":SOUR:CURR", level).leaf == "level"


def test_a_suffix_holds_for_what_follows_it_without_a_colon() -> None:
    channels: CommandTree[str] = CommandTree()
    channels.add("SOURce<1-2>:BURSt:NCYCles", "cycles")
    channels.add("SOURce<1-2>:BURSt:STATe", "state")
    level = channels.match("SOUR2:BURS:NCYC").level
    assert channels.match("STAT", level)[:2] == ("state", (2,))
    assert channels.match("STAT", channels.match("SOUR1:BURS:NCYC").level)[:2] == ("state", (1,))
    assert channels.match(":SOUR:BURS:STAT", level)[:2] == ("state", (1,))


def test_an_optional_first_node(tree: CommandTree[str]) -> None:
    assert tree.match("CLOS:STAT").leaf == tree.match("ROUT:CLOS:STAT").leaf == "state"


def test_two_commands_cannot_claim_one_header(tree: CommandTree[str]) -> None:
    with pytest.raises(ValueError, match="two commands claim"):
        tree.add("SOURce<1>:CURRent:LEVel", "other")


def test_a_pattern_without_capitals_is_refused() -> None:
    with pytest.raises(ValueError, match="no node of a command pattern"):
        forms("curr")


def test_variants_of_two_optional_parts() -> None:
    assert sorted(variants("A[:B][:C]")) == [["A"], ["A", "B"], ["A", "B", "C"], ["A", "C"]]
