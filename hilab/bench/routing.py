"""Relays: which device lies at the source and the reader. They are only moved with the sources off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hilab.bench.wiring import Channel
from hilab.errors import BenchError
from hilab.frames import DeviceCard
from hilab.roles import Clock


class Router:
    """Connects one device at a time. Pads that lie on an instrument directly need no relay."""

    def __init__(
        self,
        devices: Mapping[str, DeviceCard],
        drivers: Mapping[str, Any],
        sources: Mapping[str, Any],
        clock: Clock,
    ):
        self._devices = devices
        self._sources = sources
        self._clock = clock
        names = {
            channel.instrument
            for card in devices.values()
            for channel in map(Channel.parse, card.ports.values())
            if channel
        }
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
        """Open all relays, close the device's current line and `port`, wait until they rest."""
        if (device, port) == self._now_at:
            return
        wanted = self._channels(device, port)
        self._sources_off()
        self._now_at = None
        for switch in self._switches.values():
            switch.open_all()
        for name, relays in wanted.items():
            self._switches[name].close_channels(relays)
        self._clock.sleep(max((switch.settle_s for switch in self._switches.values()), default=0.0))
        self._now_at = (device, port)

    def _channels(self, device: str, port: str) -> dict[str, tuple[str, ...]]:
        """switch -> relays to close."""
        ports = self._devices[device].ports
        wanted: dict[str, tuple[str, ...]] = {}
        for needed in dict.fromkeys(("current", port)):
            if needed not in ports:
                raise BenchError(f"{device} has no pad {needed!r} (it has: {', '.join(sorted(ports))})")
            channel = Channel.parse(ports[needed])
            if channel:
                wanted[channel.instrument] = (*wanted.get(channel.instrument, ()), channel.relay)
        return wanted

    def _sources_off(self) -> None:
        for name, source in self._sources.items():
            if hasattr(source, "bias_off"):
                source.bias_off()
            if not source.verify_safe() and not source.make_safe().verified:
                raise BenchError(f"the source {name!r} is not verified off: no relay was moved")
