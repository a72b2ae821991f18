"""Relays: which device lies at the source and the reader. They are only moved with the sources off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hilab.bench.file import Wire
from hilab.bench.wiring import Channel
from hilab.errors import BenchError
from hilab.frames import DeviceCard
from hilab.roles import Clock, Shunt

SHUNT = "shunt"
"""The port that is not a device's: the taps of the resistor in series with the source's line."""


class Shunts:
    """The resistors in series with the sources' lines, by instrument."""

    def __init__(self, wires: Iterable[Wire]):
        with_one = {wire.source.partition(".")[0]: wire for wire in wires if wire.shunt_ohm is not None}
        self._wires: Mapping[str, Wire] = with_one

    def of(self, instrument: str) -> Shunt | None:
        """The shunt in this instrument's line; None without one."""
        wire = self._wires.get(instrument)
        if wire is None or wire.shunt_ohm is None:
            return None
        return Shunt(wire.shunt_ohm, wire.shunt_tolerance)

    def taps(self, instrument: str) -> str | None:
        """The relay that puts the shunt's taps on the reader."""
        wire = self._wires.get(instrument)
        return wire.shunt_taps if wire else None


class Router:
    """Connects one device at a time. Pads that lie on an instrument directly need no relay.

    shunt_source names the instrument whose shunt the port "shunt" reads (the pulse source).
    """

    def __init__(
        self,
        devices: Mapping[str, DeviceCard],
        drivers: Mapping[str, Any],
        sources: Mapping[str, Any],
        clock: Clock,
        shunts: Shunts | None = None,
        shunt_source: str = "",
    ):
        self._devices = devices
        self._sources = sources
        self._clock = clock
        self._shunts = shunts or Shunts(())
        self._taps = self._shunts.taps(shunt_source)
        pads = [pad for card in devices.values() for pad in card.ports.values()]
        channels = map(Channel.parse, [*pads, self._taps] if self._taps else pads)
        names = {channel.instrument for channel in channels if channel}
        self._switches = {name: drivers[name] for name in sorted(names)}
        self._now_at: tuple[str, str] | None = None

    @property
    def device(self) -> str | None:
        """The device that is connected; None if none is, or it is not known."""
        return self._now_at[0] if self._now_at else None

    def forget(self) -> None:
        """Somebody else moved the relays (safe state): the next `connect` starts from open."""
        self._now_at = None

    def connect(self, device: str, port: str) -> None:
        """Close the device's current line and `port` and nothing else, and wait until the relays rest.

        Sources that must know what hangs on them are told the nominal resistance.
        """
        if (device, port) == self._now_at:
            return
        wanted = self._channels(device, port)
        self._sources_off()
        self._now_at = None
        self._move(wanted)
        self._tell_load(self._devices[device])
        self._now_at = (device, port)

    def _move(self, wanted: Mapping[str, tuple[str, ...]]) -> None:
        """One message where the switch can do it; several switches are all opened before one closes."""
        if len(self._switches) > 1:
            for switch in self._switches.values():
                switch.open_all()
        settle_s = 0.0
        for name, switch in self._switches.items():
            relays = wanted.get(name, ())
            if hasattr(switch, "close_only"):
                switch.close_only(relays)
                continue
            if len(self._switches) == 1:
                switch.open_all()
            switch.close_channels(relays)
            settle_s = max(settle_s, switch.settle_s)
        self._clock.sleep(settle_s)

    def _channels(self, device: str, port: str) -> dict[str, tuple[str, ...]]:
        """switch -> relays to close."""
        wanted: dict[str, tuple[str, ...]] = {}
        for needed in dict.fromkeys(("current", port)):
            channel = Channel.parse(self._pad(device, needed))
            if channel:
                wanted[channel.instrument] = (*wanted.get(channel.instrument, ()), channel.relay)
        return wanted

    def _pad(self, device: str, port: str) -> str:
        ports = self._devices[device].ports
        if port == SHUNT:
            if self._taps is None:
                raise BenchError("there is no shunt with taps in the pulse source's line: add it to its wire")
            return self._taps
        if port not in ports:
            raise BenchError(f"{device} has no pad {port!r} (it has: {', '.join(sorted(ports))})")
        return ports[port]

    def _sources_off(self) -> None:
        """Look first: usually the sources are off, and looking is one exchange."""
        for name, source in self._sources.items():
            if source.verify_safe():
                continue
            if hasattr(source, "bias_off"):
                source.bias_off()
            if not source.verify_safe() and not source.make_safe().verified:
                raise BenchError(f"the source {name!r} is not verified off: no relay was moved")

    def _tell_load(self, card: DeviceCard) -> None:
        """What a voltage source sees; contacts come on top, whoever needs them measures them."""
        for name, source in self._sources.items():
            if hasattr(source, "set_load_ohm"):
                shunt = self._shunts.of(name)
                source.set_load_ohm(card.r_ohm + (shunt.ohm if shunt else 0.0))
