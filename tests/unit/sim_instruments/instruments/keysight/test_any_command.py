"""Whatever is sent, whenever: a generator answers, or refuses with an error of its list."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from sim_instruments.instruments.keysight33600a import Keysight33600A
from sim_instruments.instruments.keysight33600a_memory import TEXTS as OWN
from sim_instruments.instruments.keysight81160a import Keysight81160A
from sim_instruments.scpi.errors import TEXTS
from sim_instruments.scpi.tree import Node
from sim_instruments.world import plain

ARGUMENTS = (
    *("", "0", "1", "-1", "1e-3", "0.1", "5", "1e9", "ON", "OFF", "MAX", "MIN", "DEF", "INF", "BUS", "EXT"),
    *("PULS", "ARB", "USER", "SQU", "DC", "NOIS", "w", "TRIG", "'INT:\\w.arb'", "s,w,2,repeat,maintain,4"),
    *("VOLATILE,0,1,-1,0", "w," + ",".join(["0", "100"] * 20), "w,#13abc", "1e3,1,0", "#210w,1234567", "x'"),
)


def headers(node: Node[Any], path: str = "") -> Iterator[str]:
    """Every header of a box, in its short form."""
    for word, child in sorted(node.children.items()):
        here = f"{path}:{word}" if path else word
        if child.leaf is not None:
            yield here
        yield from headers(child, here)


@pytest.mark.parametrize("kind", [Keysight33600A, Keysight81160A])
@pytest.mark.parametrize("wired", [False, True])
def test_random_commands_of_the_box(make, kind, wired):
    awg = make(kind, wired=wired)
    awg.tell("OUTP1 ON")
    known = list(headers(awg.box.tree.root))
    draw = random.Random(20261122)
    assert len(known) > 100
    for number in range(1200):
        mark = draw.choice(("", "", "?"))
        awg.tell(f"{draw.choice(known)}{mark} {draw.choice(ARGUMENTS)}")
        awg.wait(draw.choice((0.0, 1e-7, 1e-6, 3e-5)))
        awg.box.reply(awg.world.now)
        if number % 50 == 0:
            awg.tell("*RST;:OUTP1 ON;:OUTP2 ON")
        assert {code for code, _ in awg.box.errors.state()} <= {*TEXTS, *OWN, -256}
        awg.tell("*CLS")
    state = plain.from_bytes(plain.to_bytes(awg.world.snapshot()))
    awg.world.restore(state)
    assert plain.to_bytes(awg.world.snapshot()) == plain.to_bytes(state)
    awg.box.power_cycle()
    assert awg.ask("*OPC?") == "1"
