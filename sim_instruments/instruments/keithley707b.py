"""Keithley 707B switching matrix mainframe (TSP) with cards of 8 rows by 12 columns.

Commands: bench.md 2.8 and the 707B reference manual (707B-901-01), sections 2 and 7; what is assumed is
marked [R]. Not simulated: TSP-Link, digital I/O, scans, DDC mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from sim_instruments.instruments.keithley707b_lists import CrosspointLists, refused
from sim_instruments.tsp.box import TspBox
from sim_instruments.tsp.runtime import Attribute, Wait
from sim_instruments.world.contracts import Link, World

IDENTITY = "KEITHLEY INSTRUMENTS INC.,MODEL 707B,1306421,01.41a"  # [R] form of the 707B's answer
CARDS = {"7072": "Semi Matrix 8x12"}
SLOTS = 6
SETTLE_S = 5e-3  # source: bench.md 2.8, reed cards 1 to 5 ms; the manual's own example has 4 ms
DELAY_MAX_S = 60.0  # [R]
OFF, BREAK_BEFORE_MAKE, MAKE_BEFORE_BREAK = 0, 1, 2

Step = tuple[Callable[[list[str]], None], list[str]]
"""What is done to these relays."""


class Keithley707B:
    """contracts.SimInstrument. A command that moves relays ends when they have settled.

    options: cards, the model in each slot ("" leaves it empty), at most six. Relays act in the world as
    they move, so that what is switched under current is recorded there.
    """

    takes_blocks = False  # a script may hold "#12": every line end counts
    option_defaults: ClassVar[Mapping[str, Any]] = {"cards": ()}

    def __init__(self, name: str, world: World, link: Link, options: Mapping[str, Any]):
        unknown = sorted(set(options) - set(self.option_defaults))
        if unknown:
            raise ValueError(f"instrument {name}: the 707B has no option {unknown[0]!r}; known: cards")
        cards = tuple(options.get("cards", ()))
        if len(cards) > SLOTS or any(card not in (*CARDS, "") for card in cards):
            raise ValueError(
                f"instrument {name!r}: cards {list(cards)} do not fit; a 707B has {SLOTS} slots for "
                f"{', '.join(CARDS)} or ''"
            )
        self.name, self.world, self.link = name, world, link
        self.lists = CrosspointLists(cards)
        self.closed: set[str] = set()
        self.counts: dict[str, int] = {}
        self.delays: dict[str, float] = {}
        self.rule = BREAK_BEFORE_MAKE
        self.sequential = False
        self._timer_s = 0.0
        self.box = TspBox(lambda: world.now, lambda: float(world.stream(f"{name}.script").random()), IDENTITY)
        self._define()

    # ---- transport -------------------------------------------------------------------------------

    def message(self, data: bytes) -> None:
        self.box.message(data)

    def reply(self, now: float) -> bytes | None:
        return self.box.reply()

    def reply_ready_s(self) -> float | None:
        """A script that still waits for relays may print later."""
        return self.world.now if self.box.replies else self.box.waiting_until_s()

    def unterminated(self) -> None:
        self.box.errors.put(-420, "Query UNTERMINATED")

    def device_clear(self) -> None:
        """Input, replies and the running script go; relays stay as they are."""
        self.box.device_clear()

    def status_byte(self) -> int:
        return self.box.status_byte()

    def trigger(self) -> None:
        """*TRG: nothing here waits for one."""

    def advance(self, now: float) -> None:
        self.box.pump(now)

    def power_cycle(self) -> None:
        """Everything open and forgotten, the relays' counters apart."""
        self.box.abort_script()
        self.box.errors.clear()
        self.box.restart()
        self._define()
        self.reset()

    # ---- relays ----------------------------------------------------------------------------------

    def reset(self) -> None:
        """reset(): relays open, settings as delivered; the error queue stays."""
        self._open_now(sorted(self.closed))
        self.lists.patterns.clear()
        self.delays.clear()
        self.rule, self.sequential = BREAK_BEFORE_MAKE, False

    def close(self, channels: object) -> Wait | None:
        """channel.close(): adds to what is closed."""
        return self._switch([], self.lists.read(channels, whole_slots=False))

    def open(self, channels: object) -> Wait | None:
        """channel.open()."""
        return self._switch(self.lists.read(channels), [])

    def exclusive_close(self, channels: object) -> Wait | None:
        """channel.exclusiveclose(): these and no others; "" opens everything."""
        wanted = self.lists.read(channels, whole_slots=False)
        return self._switch(self.lists.ordered(self.closed - set(wanted)), wanted)

    def exclusive_slot_close(self, channels: object) -> Wait | None:
        """channel.exclusiveslotclose(): the same within the slots that the list names."""
        wanted = self.lists.read(channels, whole_slots=False)
        slots = {name[0] for name in wanted}
        others = {name for name in self.closed - set(wanted) if name[0] in slots}
        return self._switch(self.lists.ordered(others), wanted)

    def _switch(self, opening: list[str], closing: list[str]) -> Wait | None:
        """Move relays by the connect rule, then wait until the last has settled."""
        opening = [name for name in opening if name in self.closed]
        closing = [name for name in closing if name not in self.closed]
        steps: list[Step] = [(self._open_now, opening), (self._close_now, closing)]
        if self.rule == MAKE_BEFORE_BREAK:
            steps.reverse()
        if self.rule == OFF:
            for act, names in steps:
                act(names)
            return self.box.wait(max(self._settling_s(names) for _, names in steps))
        return self._in_turn(steps)

    def _in_turn(self, steps: list[Step]) -> Wait | None:
        """Each step's relays move when those of the step before have settled."""
        if not steps:
            return None
        (act, names), *rest = steps
        if not names:
            return self._in_turn(rest)
        act(names)
        return Wait(self.box.time + self._settling_s(names), lambda: self._in_turn(rest))

    def _settling_s(self, names: list[str]) -> float:
        """Time until these relays rest; the delays of closing ones come on top."""
        if not names:
            return 0.0
        delays = [self.delays.get(name, 0.0) for name in names if name in self.closed]
        if self.sequential:
            return len(names) * SETTLE_S + sum(delays)
        return SETTLE_S + max(delays, default=0.0)

    def _open_now(self, names: list[str]) -> None:
        for name in names:
            self.closed.discard(name)
            self.world.open_relay(f"{self.name}.{name}")

    def _close_now(self, names: list[str]) -> None:
        for name in names:
            self.closed.add(name)
            self.counts[name] = self.counts.get(name, 0) + 1
            self.world.close_relay(f"{self.name}.{name}")

    # ---- commands --------------------------------------------------------------------------------

    def _define(self) -> None:
        node = {
            "model": "707B",
            "serialno": "1306421",
            "revision": "01.41a",
            "description": Attribute(lambda: "Keithley Instruments Inc. 707B", lambda _: None),
            "linefreq": 50,
            "prompts": 0,
            "showerrors": 0,
            "reset": self.reset,
        }
        commands: dict[str, Any] = {
            "channel": self._channel(),
            "slot": {number: self._slot(number) for number in range(1, SLOTS + 1)},
            "localnode": node,
            "reset": self.reset,
            "waitcomplete": lambda *_: None,  # every command here ends when it is done
            "opc": lambda: None,
            "timer": {"reset": self._reset_timer, "measure": {"t": lambda: self.box.time - self._timer_s}},
            "status": {"condition": Attribute(self.status_byte), "reset": lambda: None},
            "beeper": {"enable": Attribute(lambda: 1, lambda _: None), "beep": lambda *_: None},
            "display": {"clear": lambda: None, "settext": lambda *_: None},
            "__trigger": self.trigger,
            "__esr": lambda: "0",
        }
        own = {**node, "channel": commands["channel"], "slot": commands["slot"]}
        for name, value in {**commands, "node": {1: own}}.items():
            self.box.runtime.define(name, value)
        self.box.runtime.seal()

    def _channel(self) -> dict[str, Any]:
        return {
            "OFF": OFF,
            "ON": 1,
            "BREAK_BEFORE_MAKE": BREAK_BEFORE_MAKE,
            "MAKE_BEFORE_BREAK": MAKE_BEFORE_BREAK,
            "open": self.open,
            "close": self.close,
            "exclusiveclose": self.exclusive_close,
            "exclusiveslotclose": self.exclusive_slot_close,
            "getclose": self._get_close,
            "getstate": lambda channels: self._each(channels, lambda name: str(int(name in self.closed))),
            "getcount": lambda channels: self._each(channels, lambda name: str(self.counts.get(name, 0))),
            "setdelay": self._set_delay,
            "getdelay": lambda channels: self._each(channels, lambda n: f"{self.delays.get(n, 0.0):.5e}"),
            "reset": self._reset_channels,
            "connectrule": Attribute(lambda: self.rule, self._set_rule),
            "connectsequential": Attribute(lambda: int(self.sequential), self._set_sequential),
            "pattern": {
                "setimage": self._set_image,
                "snapshot": lambda name: self._store(name, self.lists.ordered(self.closed)),
                "getimage": self._get_image,
                "delete": self._delete_image,
            },
        }

    def _slot(self, number: int) -> dict[str, Any]:
        card = self.lists.cards[number - 1] if number <= len(self.lists.cards) else ""
        if not card:
            return {"idn": "Empty Slot"}
        return {
            "idn": f"{card},{CARDS[card]},01.00a,{number:07d}",  # [R] four fields
            "rows": {"matrix": 8},
            "columns": {"matrix": 12},
            "poles": {"two": 1},
        }

    def _get_close(self, channels: object) -> str | None:
        """The closed ones of a list with ';' between them; nil if there are none."""
        wanted = set(self.lists.read(channels))
        return ";".join(self.lists.ordered(self.closed & wanted)) or None

    def _each(self, channels: object, value: Callable[[str], str]) -> str:
        return ",".join(value(name) for name in self.lists.read(channels))

    def _set_delay(self, channels: object, delay_s: object) -> None:
        if isinstance(delay_s, bool) or not isinstance(delay_s, int | float):
            raise refused("a delay is a number")
        if not 0 <= delay_s <= DELAY_MAX_S:
            raise refused(f"a delay is 0 to {DELAY_MAX_S:g} s")
        self.delays |= dict.fromkeys(self.lists.read(channels), float(delay_s))

    def _reset_channels(self, channels: object) -> Wait | None:
        """channel.reset(): open, without delays; patterns with one of these are gone."""
        named = set(self.lists.read(channels))
        self.delays = {name: delay for name, delay in self.delays.items() if name not in named}
        kept = {name: image for name, image in self.lists.patterns.items() if not named & set(image)}
        self.lists.patterns = kept
        return self._switch(self.lists.ordered(named), [])

    def _set_rule(self, rule: Any) -> None:
        if rule not in (OFF, BREAK_BEFORE_MAKE, MAKE_BEFORE_BREAK):
            raise refused("connectrule is OFF, BREAK_BEFORE_MAKE or MAKE_BEFORE_BREAK")
        self.rule = int(rule)

    def _set_sequential(self, state: Any) -> None:
        if state not in (0, 1):
            raise refused("connectsequential is OFF or ON")
        self.sequential = bool(state)

    def _set_image(self, channels: object, name: object) -> None:
        self._store(name, self.lists.read(channels, whole_slots=False))

    def _store(self, name: object, image: list[str]) -> None:
        self.lists.patterns[self.lists.check_name(name)] = tuple(image)

    def _get_image(self, name: object) -> str:
        if not isinstance(name, str) or name not in self.lists.patterns:
            raise refused("no such pattern")
        return ",".join(self.lists.patterns[name])

    def _delete_image(self, name: object) -> None:
        self._get_image(name)
        del self.lists.patterns[str(name)]

    def _reset_timer(self) -> None:
        self._timer_s = self.box.time

    # ---- snapshot --------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """A script that waits for relays is not part of it."""
        return {
            "box": self.box.snapshot(),
            "closed": sorted(self.closed),
            "counts": dict(self.counts),
            "delays": dict(self.delays),
            "patterns": {name: list(image) for name, image in self.lists.patterns.items()},
            "rule": self.rule,
            "sequential": self.sequential,
            "timer_s": self._timer_s,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The world restores its relays itself."""
        self.box.abort_script()
        self.box.restart()
        self._define()
        self.closed = set(state["closed"])
        self.counts = dict(state["counts"])
        self.delays = dict(state["delays"])
        self.lists.patterns = {name: tuple(image) for name, image in state["patterns"].items()}
        self.rule, self.sequential = int(state["rule"]), bool(state["sequential"])
        self._timer_s = float(state["timer_s"])
        self.box.restore(state["box"])
