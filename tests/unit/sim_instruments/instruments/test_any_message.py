"""Whatever is sent, whenever: a box answers, refuses with an error of its list, or keeps quiet."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim_instruments.scpi.errors import TEXTS
from sim_instruments.scpi.tree import Node
from sim_instruments.world import plain

BOXES = ("source", "nvm", "mux", "magnet")
ARGUMENTS = (
    *("", "0", "1", "-1", "1e-3", "0.1", "5", "1e9", "ON", "OFF", "MAX", "INF", "LIST", "BEST", "BUS"),
    *("'VOLT'", "1e-4,-1e-4,2e-4", "0.001,0.002", "(@1!1,1!11)", "ALL", "READ,SOUR", "#13abc", "x'"),
)


def headers(node: Node[Any], path: str = "") -> Iterator[str]:
    """Every header of a box, in its short form."""
    for word, child in sorted(node.children.items()):
        here = f"{path}:{word}" if path else word
        if child.leaf is not None:
            yield here
        yield from headers(child, here)


@pytest.mark.parametrize("box", BOXES)
def test_random_commands_of_the_box(make_boxes: Callable[..., Any], box: str) -> None:
    """1500 random commands and queries of the whole tree, with time passing between them."""
    boxes = make_boxes()
    boxes.connect()
    boxes.tell("source", "SOUR:CURR:COMP 50")
    known = list(headers(boxes.boxes[box].tree.root))
    draw = random.Random(20261122)
    assert len(known) > 30
    for _ in range(1500):
        mark = draw.choice(("", "", "?"))
        boxes.tell(box, f"{draw.choice(known)}{mark} {draw.choice(ARGUMENTS)}")
        boxes.wait(draw.choice((0.0, 1e-4, 0.01, 0.3)))
        boxes.boxes[box].reply(boxes.world.now)
        assert {code for code, _ in boxes.boxes[box].errors.state()} <= set(TEXTS)
    state = plain.from_bytes(plain.to_bytes(boxes.world.snapshot()))
    boxes.world.restore(state)
    assert plain.to_bytes(boxes.world.snapshot()) == plain.to_bytes(state)
    boxes.boxes[box].power_cycle()
    assert boxes.ask(box, "*OPC?") == "1"


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(st.binary(max_size=60), st.sampled_from(BOXES))
def test_random_bytes(boxes: Any, data: bytes, box: str) -> None:
    boxes.boxes[box].message(data)
    boxes.boxes[box].reply(boxes.world.now)
    boxes.boxes[box].device_clear()
    boxes.tell(box, "*CLS")
    assert boxes.ask(box, "*ESE?") == "0"
