"""Bench files with a matrix and a resistor in series with the source, and what the router makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hilab.bench import Bench, open_bench
from hilab.bench.check import read_bench_file
from hilab.bench.wiring import Channel
from hilab.errors import BenchError, BenchFileError

Write = Callable[..., Path]
Changes = tuple[tuple[str, str], ...]

SHUNT = ('to = ["mux.1A"]', 'to = ["mux.1A"]\nshunt_ohm = 100.0\nshunt_taps = "mux.1!19"')
MATRIX: Changes = (
    ('cards = ["7011"]', 'cards = ["7072", "", "7072"]'),
    ('to = ["mux.1A"]', 'to = ["mux.A"]\nshunt_ohm = 100.0\nshunt_taps = "mux.3B12"'),
    ('to = ["mux.1B"]', 'to = ["mux.B"]'),
    ('current = "mux.1!1", hall = "mux.1!11"', 'current = "mux.1A01", hall = "mux.1B02"'),
    ('current = "mux.1!2", hall = "mux.1!12"', 'current = "mux.3A01", hall = "mux.3B02"'),
)


def changed(*changes: tuple[str, str]) -> Changes:
    """The matrix file with further replacements inside what replaced the multiplexer's lines."""
    found = list(MATRIX)
    for old, new in changes:
        found = [(key, text.replace(old, new)) for key, text in found]
    return tuple(found)


def problems(path: Path) -> str:
    with pytest.raises(BenchFileError) as error:
        read_bench_file(path)
    return str(error.value)


@pytest.mark.parametrize(
    ("pad", "channel"),
    [
        ("mux.1!3", Channel("mux", 1, 3)),
        ("matrix.1A03", Channel("matrix", 1, 3, "A")),
        ("matrix.6H12", Channel("matrix", 6, 12, "H")),
        ("smu.a", None),
        ("mux.1A", None),
    ],
)
def test_a_pad_is_a_relay_or_a_terminal(pad: str, channel: Channel | None) -> None:
    assert Channel.parse(pad) == channel
    if channel is not None:
        assert f"{channel.instrument}.{channel.relay}" == pad


@pytest.mark.parametrize("pad", ["mux.1!x", "matrix.1A3", "matrix.1a03", "matrix.1J01", "matrix.12A01"])
def test_a_misspelt_relay_is_said(pad: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        Channel.parse(pad)


def test_a_bench_with_a_matrix_and_a_shunt_is_accepted(bench_file: Write) -> None:
    file = read_bench_file(bench_file(*MATRIX))
    assert file.wires[0].shunt_ohm == 100.0
    assert file.wires[0].shunt_tolerance == 1e-3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"mux.A"', '"mux.1A"'), "'mux.1A' is no line of the switch: it has mux.A, mux.B"),
        (("mux.1A01", "mux.1A13"), "there is no channel mux.1A13: a card 7072 has crosspoints such as"),
        (("mux.1A01", "mux.1!1"), "there is no channel mux.1!1: a card 7072 has crosspoints such as"),
        (("mux.1A01", "mux.2A01"), "slot 2 of 'mux' is empty"),
        (("mux.1A01", "mux.1A1"), "'mux.1A1' is no crosspoint: write it like 'matrix.1A03'"),
        (("mux.1B02", "mux.1B01"), "bar1.hall and bar1.current lie on one pad, column 1 of slot 1 of mux"),
        (("mux.1A01", "mux.1C01"), "nobody is wired to mux.C, where bar1.current lie"),
        (("mux.3B12", "mux.3B02"), "the taps and bar2.hall lie on one pad, column 2 of slot 3"),
        (("mux.3B12", "mux.3A12"), "no terminal of the reader 'dvm' reaches the shunt's taps at mux.3A12"),
        (("mux.3B12", "mux.2B12"), "there is no channel mux.2B12: slot 2 of 'mux' is empty"),
        (("mux.3B12", "dvm.in"), "'dvm.in' is no relay"),
        (('\nshunt_taps = "mux.3B12"', ""), "the shunt has no taps"),
        (("shunt_ohm = 100.0\n", ""), "shunt_taps without shunt_ohm"),
        (("shunt_ohm = 100.0", "shunt_ohm = -1.0"), "must be above 0"),
        (('["mux.B"]', '["mux.B"]\nshunt_ohm = 1.0\nshunt_taps = "mux.3B11"'), "'dvm' has the role of none"),
    ],
)
def test_what_is_wrong_with_rows_columns_and_shunts_is_said(
    bench_file: Write, change: tuple[str, str], said: str
) -> None:
    assert said in problems(bench_file(*changed(change)))


def test_a_multiplexer_has_no_crosspoints_and_no_lines_but_its_banks(bench_file: Write) -> None:
    assert "a card 7011 has channels 1 to 40" in problems(bench_file(('"mux.1!11"', '"mux.1B11"')))
    assert "'mux.2A' is no line of the switch" in problems(bench_file(('["mux.1A"]', '["mux.1A", "mux.2A"]')))


class Told:
    """What the source was told of its load, and the switch of its relays."""

    def __init__(self) -> None:
        self.loads: list[float] = []
        self.routes: list[tuple[str, ...]] = []


@pytest.fixture
def told(lab: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Told:
    """A voltage source, and a switch that changes a route with one message."""
    found = Told()

    def close_only(switch: Any, channels: tuple[str, ...]) -> None:
        switch._move("only")
        switch.board.closed = set(channels)
        found.routes.append(channels)

    monkeypatch.setattr(lab.Source, "set_load_ohm", lambda _, ohm: found.loads.append(ohm), raising=False)
    monkeypatch.setattr(lab.Switch, "close_only", close_only, raising=False)
    return found


def messages(bench: Bench, name: str) -> list[str]:
    return [what for who, what in bench.role("pulse_source").board.told if who == name]


def test_the_shunt_is_a_port_of_every_device(bench_file: Write, told: Told) -> None:
    with open_bench(bench_file(*MATRIX)) as bench:
        assert bench.shunt is not None
        assert (bench.shunt.ohm, bench.shunt.tolerance) == (100.0, 1e-3)
        bench.route("bar1", "shunt")
        bench.route("bar1")
        bench.route("bar2", "shunt")
        assert told.routes == [("1A01", "3B12"), ("1A01", "1B02"), ("3A01", "3B12")]


def test_the_same_on_a_multiplexer_and_without_close_only(bench_file: Write) -> None:
    with open_bench(bench_file(SHUNT)) as bench:
        bench.route("bar1", "shunt")
        assert bench.role("switch").board.closed == {"1!1", "1!19"}


def test_a_source_learns_its_nominal_load_at_every_change_of_route(bench_file: Write, told: Told) -> None:
    with open_bench(bench_file(*MATRIX)) as bench:
        bench.route("bar1")
        bench.route("bar1")  # nothing moves: what a player measured stays in force
        bench.route("bar1", "shunt")
        assert told.loads == [1100.0, 1100.0]  # the line and the shunt
    with open_bench(bench_file(("r_ohm = 1000", "r_ohm = 500"))) as bench:
        bench.route("bar2")
        assert bench.shunt is None
        assert told.loads[2:] == [500.0]


def test_a_change_of_route_is_one_message_to_the_switch_and_none_to_a_source_that_is_off(
    bench_file: Write, told: Told
) -> None:
    with open_bench(bench_file(*MATRIX)) as bench:
        bench.route("bar1")
        before = len(messages(bench, "mux")), len(messages(bench, "src"))
        time_s = bench.clock.now()
        bench.route("bar2")
        assert (len(messages(bench, "mux")), len(messages(bench, "src"))) == (before[0] + 1, before[1])
        assert bench.clock.now() == time_s  # close_only comes back when the relays rest


def test_no_relay_moves_for_a_shunt_that_is_not_there(bench_file: Write, told: Told) -> None:
    with open_bench(bench_file()) as bench:
        with pytest.raises(BenchError, match="no shunt with taps in the pulse source's line"):
            bench.route("bar1", "shunt")
        assert told.routes == []


def test_the_shunt_is_read_on_a_range_that_fits_it(bench_file: Write, told: Told) -> None:
    with open_bench(bench_file(*MATRIX)) as bench:
        bench.read_port("bar1", "shunt", 1e-4, reversals=0)
        assert messages(bench, "dvm")[1] == "range 0.01"  # 100 uA through 100 ohm
