"""A scripted instrument and a station of two devices, without a bench."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
from pymeasure.adapters import ProtocolAdapter

from hilab.frames import DeviceCard, DeviceLimits
from sim_instruments.world.clock import VirtualClock


class Scripted(ProtocolAdapter):
    """Answers queries from a table and remembers every line it was sent."""

    def __init__(self, answers: Mapping[str, Any] | None = None):
        super().__init__([])
        self.answers = dict(answers or {})
        self.sent: list[str] = []
        self.pending: list[bytes] = []

    def _write(self, command: str, **kwargs: Any) -> None:
        self.sent.append(command)
        answer = self.answers.get(command)
        if isinstance(answer, list):
            answer = answer.pop(0)
        if answer is not None:
            self.pending.append(answer if isinstance(answer, bytes) else answer.encode())

    def _read_bytes(self, count: int, break_on_termchar: bool = False, **kwargs: Any) -> bytes:
        if not self.pending:
            raise OSError("nothing to read")
        return self.pending.pop(0)

    def clear(self) -> None:
        self.pending.clear()

    def close(self) -> None:
        pass


@dataclass
class SmallStation:
    """What a player sees: roles, devices, a clock, and a route that only remembers."""

    roles: dict[str, Any]
    devices: dict[str, DeviceCard]
    clock: VirtualClock
    routes: list[str] = field(default_factory=list)
    shunt: Any = None

    def role(self, name: str) -> Any:
        return self.roles[name]

    def route(self, device: str, port: str = "hall") -> None:
        self.routes.append(device)

    def spending(self, kind: str) -> AbstractContextManager[None]:
        return nullcontext()

    def instrument_name(self, role: str) -> str:
        return str(self.roles[role].name)


def card(name: str, width_m: float, r_ohm: float, write_a: float, read_a: float) -> DeviceCard:
    limits = DeviceLimits(
        ((100e-6, write_a), (12e-3, 0.8 * write_a), (1.0, 0.3 * write_a)), read_a, 20.0, 0.1, 10**9
    )
    return DeviceCard(name, width_m, 40e-6, r_ohm, 1.0, limits, {"current": "mux.1!1", "hall": "mux.1!11"})


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def cards() -> dict[str, DeviceCard]:
    return {
        "w2_d1": card("w2_d1", 2e-6, 8000.0, 1.6e-3, 0.25e-3),
        "w16_d1": card("w16_d1", 16e-6, 1000.0, 12.8e-3, 2e-3),
    }


@pytest.fixture
def scripted() -> Callable[..., Scripted]:
    return Scripted


@pytest.fixture
def station(cards: dict[str, DeviceCard], clock: VirtualClock) -> Callable[..., SmallStation]:
    return lambda **roles: SmallStation(roles, cards, clock)
