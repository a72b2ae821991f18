"""The bench as protocols see it."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from hilab.bench import reading
from hilab.bench.accounts import Account, Accounts, pulse_energy_j
from hilab.bench.choice import Choice
from hilab.bench.field import FieldControl, FieldReading
from hilab.bench.file import BenchFile
from hilab.bench.line import Lines, limit_part
from hilab.bench.locks import AddressLock
from hilab.bench.playing import SLACK, Playing, wear_reasons
from hilab.bench.reading import PortReading
from hilab.bench.routing import Router, Shunts
from hilab.bench.safety import make_all_safe, sources
from hilab.bench.traffic import TrafficLog
from hilab.bench.wear import WearLedger
from hilab.errors import Aborted, BenchError
from hilab.frames import DeviceCard, FrameBatch, FramePlan, FrameReadings
from hilab.plugins import unknown
from hilab.roles import Clock, Identity, SafeReport, Shunt, SimulatedBench

log = logging.getLogger(__name__)


class Bench:
    """Instruments, wiring and devices of one bench file, opened. Use it as a context manager.

    Whatever happens inside, leaving makes everything safe. `stop` set by any thread ends waiting calls
    with Aborted. All values in SI units.
    """

    def __init__(
        self,
        file: BenchFile,
        path: Path,
        drivers: Mapping[str, Any],
        clock: Clock,
        ledger: WearLedger,
        twin: SimulatedBench | None = None,
        locks: tuple[AddressLock, ...] = (),
        traffic: TrafficLog | None = None,
    ):
        self.file = file
        self.path = path
        self.clock = clock
        self.stop = threading.Event()
        self._drivers: dict[str, Any] = dict(drivers)
        self.devices: Mapping[str, DeviceCard] = MappingProxyType(
            {name: entry.card(name) for name, entry in file.devices.items()}
        )
        self.last_safe: tuple[SafeReport, ...] = ()
        self.traffic = traffic
        """The record of every exchange, where one is kept."""
        self._ledger = ledger
        self._twin = twin
        self._locks = locks
        self._closed = False
        self._untouched = False  # since the last safe state
        self._accounts = Accounts(clock)
        self._shunts = Shunts(file.wires)
        self._router = Router(
            self.devices,
            drivers,
            sources(drivers, file.roles),
            clock,
            self._shunts,
            file.roles.get("pulse_source", ""),
        )
        self._lines = Lines()
        self._playing = Playing(self, ledger, self._accounts, file.misread_limit)
        self._field = self._field_control()

    # ---- what it is ---------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def sample(self) -> str:
        return self.file.sample

    @property
    def operator(self) -> str:
        return self.file.operator

    @property
    def note(self) -> str:
        return self.file.note

    @property
    def integration_s(self) -> float:
        """Integration of a frame's reading where a protocol does not say (s)."""
        return self.file.integration_s

    @property
    def pulse_width_s(self) -> float:
        """Width of reset and write pulses where a protocol does not say (s)."""
        return self.file.pulse_width_s

    @property
    def shunt(self) -> Shunt | None:
        """The resistor in series with the pulse source's line; None without one. Read it at port "shunt"."""
        return self._shunts.of(self.file.roles.get("pulse_source", ""))

    @property
    def simulated(self) -> bool:
        """True if the simulated twin plays the instruments."""
        return self._twin is not None

    @property
    def twin(self) -> SimulatedBench | None:
        """The simulated bench, for tests and for measuring its speed; None on real instruments."""
        return self._twin

    @property
    def instruments(self) -> Mapping[str, Any]:
        """The drivers by their names in the bench file."""
        self._untouched = False
        return MappingProxyType(self._drivers)

    def role(self, name: str) -> Any:
        """The driver that plays this role; KeyError naming the role if nobody does."""
        self._untouched = False
        return self._drivers[self.instrument_name(name)]

    def has_role(self, name: str) -> bool:
        return name in self.file.roles

    def instrument_name(self, role: str) -> str:
        """The instrument's name in the bench file; KeyError naming the role if nobody plays it."""
        if role not in self.file.roles:
            raise KeyError(f"the bench {self.name!r} has no {role!r}: name one in its [roles]")
        return self.file.roles[role]

    def card(self, device: str) -> DeviceCard:
        """The device's card; BenchError naming the nearest for an unknown one."""
        if device not in self.devices:
            raise BenchError(unknown("device", device, self.devices))
        return self.devices[device]

    def identify(self) -> dict[str, Identity]:
        """Who answers: instrument -> identity."""
        return {name: driver.identify() for name, driver in self._drivers.items()}

    def settings(self) -> dict[str, Any]:
        """The present settings of every instrument, for the run file."""
        return {name: driver.settings() for name, driver in self._drivers.items()}

    def wear(self, device: str) -> tuple[int, int]:
        """(positive, negative) pulses that the device has had so far, on whatever bench."""
        return self._ledger.counted(self.card(device).name)

    # ---- frames -------------------------------------------------------------------------------

    def suitable_players(self) -> dict[str, str]:
        """player -> why it cannot play on this bench; '' if it can."""
        return self._playing.suitable()

    def plan(self, batch: FrameBatch, player: str | None = None, *, prepare: bool = True) -> FramePlan:
        """How the batch will be played, and its cost: by `player`, else by the fastest that can.

        A player may measure first what it must know (the load of a voltage source) unless `prepare` is False.
        Raises PlanRefused with every reason (envelope, misread limit, pulse budget, instruments).
        """
        if prepare:
            self.check_stop()
        return self._playing.plan(batch, player, prepare)

    def choice(self, batch: FrameBatch, player: str | None = None, *, prepare: bool = True) -> Choice:
        """Which player would play the batch, and `why` in a sentence; raises as `plan` does."""
        if prepare:
            self._untouched = False
        return self._playing.choice(batch, player, prepare)

    @property
    def player(self) -> str | None:
        """The player of every batch, if the user chose one."""
        return self._playing.asked_for

    def always_play_with(self, player: str | None) -> None:
        """Play every batch with this player from now on (None: with the fastest that can).

        UsageError for an unknown player, and for one that this bench cannot host.
        """
        self._playing.always(player)

    def play(self, plan: FramePlan, on_chunk: Callable[[int], None] | None = None) -> FrameReadings:
        """Play a plan; its pulses are counted on disk before the first. Aborted if `stop` was set."""
        self.check_stop()
        self._untouched = False
        readings = self._playing.play(plan, on_chunk, self.stop)
        self.check_stop()
        return readings

    # ---- by hand ------------------------------------------------------------------------------

    def route(self, device: str, port: str = "hall") -> None:
        """Connect the device's current line and `port`; sources are verified off before a relay moves.

        port "shunt" puts the taps of the resistor in series with the source on the reader.
        """
        self._untouched = False
        with self.spending("relays"):
            self._router.connect(self.card(device).name, port)

    def read_port(
        self,
        device: str,
        port: str,
        current_a: float,
        *,
        reversals: int = 1,
        integration_s: float = 0.02,
        settle_s: float | None = None,
    ) -> PortReading:
        """Drive current_a through the device and read the voltage at `port`.

        port: "hall", "longitudinal", "shunt" (the resistor in series), or "current" (the line itself, with
        the source's own meter).

        With reversals n >= 1 n pairs of +I and -I are averaged, with 0 one reading at +I. The range grows
        from what the device's card lets expect. BenchError above the device's read_max_a.
        """
        self.check_stop()
        with self.spending("settle"):
            return reading.read_port(
                self,
                device,
                port,
                current_a,
                reversals=reversals,
                integration_s=integration_s,
                settle_s=settle_s,
            )

    def pulse(self, device: str, amplitude_a: float, width_s: float) -> None:
        """One rectangular current pulse, inside the device's envelope and pulse budget; counted as wear.

        Where the source is a voltage behind a shunt, the device's line is measured first (at half of its read
        current, remembered for ten minutes), and refused if it is not as the bench file says.
        """
        self.check_stop()
        card = self.card(device)
        source = self.role("pulse_source")
        self._refuse_pulse(card, amplitude_a, width_s, source)
        counts = {device: (int(amplitude_a > 0), int(amplitude_a < 0))}
        reasons = list(wear_reasons(counts, self.devices, self._ledger.all()))
        if reasons:
            raise BenchError(reasons[0])
        load_ohm = self._lines.load_ohm(self, card, source)
        if self._router.device != device or load_ohm is not None:
            self.route(device, "hall" if "hall" in card.ports else "current")
        if load_ohm is not None:
            source.set_load_ohm(load_ohm)
        with self.spending("arm"):
            source.configure_pulse(card.limits.current_max_a(width_s), reading.compliance_v(source, card))
        self._ledger.debit(counts)
        self._accounts.count(counts, {device: pulse_energy_j(amplitude_a, width_s, card.r_ohm)})
        with self.spending("play"):
            source.pulse(amplitude_a, width_s)

    def _refuse_pulse(self, card: DeviceCard, amplitude_a: float, width_s: float, source: Any) -> None:
        if not (math.isfinite(width_s) and width_s > 0):
            raise BenchError(f"a pulse width must be a positive time in seconds, got {width_s}")
        limit_a = min(card.limits.current_max_a(width_s), card.limits.voltage_max_v / card.r_ohm)
        limit_a *= limit_part(self, source)
        if not (math.isfinite(amplitude_a) and 0 < abs(amplitude_a) <= limit_a * SLACK):
            raise BenchError(
                f"{card.name}: a pulse of {amplitude_a * 1e3:.4g} mA and {width_s * 1e6:g} us is outside its "
                f"envelope: it must not be 0 and at most {limit_a * 1e3:.4g} mA (pulse_max_a, voltage_max_v)"
            )
        shortest_s, longest_s = getattr(source, "pulse_width_s", (0.0, math.inf))
        if not shortest_s * (1 - 1e-9) <= width_s <= longest_s * (1 + 1e-9):
            raise BenchError(
                f"{self.file.roles['pulse_source']!r} makes pulses of {shortest_s:g} to {longest_s:g} s, "
                f"not of {width_s:g} s"
            )

    # ---- field --------------------------------------------------------------------------------

    def set_field(self, field_t: float, *, tolerance_t: float = 5e-5, timeout_s: float = 30) -> FieldReading:
        """Ramp to field_t (T) and wait until the gaussmeter reads it within the tolerance.

        settled is False where that takes longer than timeout_s. BenchError above the coil's limit or the
        envelope of any device on the chuck, or where coil and gaussmeter contradict each other.
        """
        self.check_stop()
        control = self._need_field()
        control.refuse(field_t, self.devices.values())
        with self.spending("settle"):
            return control.set(field_t, tolerance_t, timeout_s)

    def check_field(self, field_t: float) -> None:
        """BenchError if `set_field` would refuse this field (T); nothing is sent."""
        self._need_field().refuse(field_t, self.devices.values())

    def field_off(self) -> None:
        """Ramp the field to zero and switch the coil supply off."""
        control = self._need_field()
        with self.spending("settle"):
            control.off()

    def _need_field(self) -> FieldControl:
        if self._field is None:
            raise BenchError(
                f"the bench {self.name!r} has no field: it needs the roles field_source and field_meter, "
                f"and [field]"
            )
        self._untouched = False
        return self._field

    def _field_control(self) -> FieldControl | None:
        if self.file.field is None or not (self.has_role("field_source") and self.has_role("field_meter")):
            return None
        return FieldControl(
            self.role("field_source"), self.role("field_meter"), self.file.field, self.clock, self.sleep
        )

    # ---- time and ending ----------------------------------------------------------------------

    def spending(self, kind: str) -> AbstractContextManager[None]:
        """Bench time that passes inside is booked as this kind (one of `hilab.frames.SPENT`).

        A block inside another one books what passes in it. What passes in no block is the host's.
        """
        return self._accounts.spending(kind)

    def account(self) -> Account:
        """Bench time by kind, pulses and energy by device since the bench was opened."""
        return self._accounts.total()

    def sleep(self, seconds: float) -> None:
        """Let bench time pass; Aborted as soon as `stop` is set."""
        with self.spending("settle"):
            self.clock.wait(self.stop, seconds)
        self.check_stop()

    def check_stop(self) -> None:
        """Aborted if the run was told to stop."""
        if self.stop.is_set():
            raise Aborted("the bench was told to stop")

    def make_safe(self) -> tuple[SafeReport, ...]:
        """Everything off and verified: sources, readers, relays, field. Never raises; for any thread."""
        self._router.forget()
        self.last_safe = make_all_safe(self._drivers, self.file.roles, guarded=not self.simulated)
        if self._field is not None:
            self._field.switched_off()
        self._router.forget()
        self._untouched = True
        return self.last_safe

    def snapshot(self) -> bytes | None:
        """The state of a simulated bench, for checkpoints; None on real instruments.

        What this process remembers of relays, coil and settings is not in it: it is forgotten here and in
        `restore`, so that a run goes on from a checkpoint as it did when it was taken.
        """
        if self._twin is None:
            return None
        self._forget()
        return self._twin.snapshot()

    def restore(self, state: bytes) -> None:
        """Put a simulated bench back into a state of `snapshot`."""
        if self._twin is None:
            raise BenchError("real instruments cannot be put back into an earlier state")
        self._accounts.total()
        self._twin.restore(state)
        self._accounts.jumped()
        self._forget()

    def _forget(self) -> None:
        """Rely on nothing that was sent before; a driver that remembers settings has a method `forget`."""
        self._router.forget()
        self._lines.forget()
        if self._field is not None:
            self._field.forget()
        for driver in self._drivers.values():
            if hasattr(driver, "forget"):
                driver.forget()

    def close(self) -> None:
        """Make everything safe, then let the instruments and their addresses go; once is enough."""
        if self._closed:
            return
        self._closed = True
        if not self._untouched:  # an instrument that does not answer is not waited for twice
            self.make_safe()
        for name, driver in self._drivers.items():
            close_quietly(name, driver)
        if self._twin is not None:
            close_quietly("the simulated bench", self._twin)
        self._ledger.close()
        if self.traffic is not None:
            self.traffic.close()
        for lock in self._locks:
            lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def close_quietly(name: str, thing: Any) -> None:
    """Close one thing so that the others are closed too, whatever it does."""
    try:
        thing.close()
    except Exception as error:  # noqa: BLE001 - everything was made safe before; the rest must still be closed
        log.warning("%s did not close: %s", name, error)
