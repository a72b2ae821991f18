"""What Keysight's two-channel generators share in their language: channel settings, numbers, errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sim_instruments.scpi.errors import TEXTS
from sim_instruments.scpi.instrument import (
    Choice,
    Number,
    ScpiError,
    ScpiInstrument,
    _Handler,
    query,
)
from sim_instruments.scpi.parameters import Parameter, quote

CHANNELS = (1, 2)
CONFLICT = -221
CLIPPED = -222


@dataclass(frozen=True)
class Quantity:
    """A number, or MIN, MAX, DEF as words: what they mean depends on other settings."""

    unit: str = ""
    infinite: bool = False

    def parse(self, text: str) -> float | str:
        word = {"MINIMUM": "MIN", "MAXIMUM": "MAX", "DEFAULT": "DEF"}.get(text.upper(), text.upper())
        if word in ("MIN", "MAX", "DEF"):
            return word
        return Number(unit=self.unit, infinite=self.infinite).parse(text)


@dataclass(frozen=True)
class ChannelSetting:
    """A setting of each channel; the header carries the channel's number (1 where it is left out).

    limits: low and high, or the method that knows them for a channel (these numbers are clipped to them,
    with error -222, as the box does); changed: the method called with the channel after a new value.
    stored: False where methods get_<key> and set_<key> of the box compute the value.
    """

    key: str
    pattern: str
    parameter: Parameter
    default: Any = None
    changed: str = ""
    limits: tuple[float, float] | str | None = None
    stored: bool = True


class _Marked:
    """Carries the handlers of a channel setting into the command tree."""

    def __init__(self, setting: ChannelSetting):
        word = (Choice("MINimum", "MAXimum", "DEFault"),) if setting.limits is not None else ()
        self.scpi_handlers = (
            _Handler("set_channel", setting.pattern, False, (setting.parameter,), 1, (setting.key,)),
            _Handler("get_channel", setting.pattern, True, word, 0, (setting.key,)),
        )


class ChannelBox(ScpiInstrument):
    """Values of channel settings lie in `values` under 'key.channel'."""

    channel_settings: ClassVar[tuple[ChannelSetting, ...]] = ()
    of_channels: ClassVar[dict[str, ChannelSetting]] = {}
    error_depth = 20
    registers = ("OPER", "QUES")

    def __init_subclass__(cls, **keywords: Any) -> None:
        cls.of_channels = {setting.key: setting for setting in cls.channel_settings}
        for setting in cls.channel_settings:
            setattr(cls, f"_commands_of_{setting.key}", _Marked(setting))
        super().__init_subclass__(**keywords)

    def value(self, key: str, channel: int) -> Any:
        """A channel's setting."""
        return self.values[f"{key}.{channel}"]

    def put(self, key: str, channel: int, value: Any) -> None:
        """Change a channel's setting without its consequences."""
        self.values[f"{key}.{channel}"] = value

    def defaults(self) -> None:
        """Every channel setting to its *RST value."""
        for setting in self.of_channels.values():
            if setting.stored:
                for channel in CHANNELS:
                    self.put(setting.key, channel, setting.default)

    def complain(self, code: int, detail: str) -> None:
        """An error that does not stop the command."""
        self.error(code, f"{TEXTS[code]}; {detail}" if code in TEXTS else detail)

    # ---- the handlers of all channel settings -------------------------------------------------------

    def set_channel(self, key: str, *rest: Any) -> None:
        """Take a new value for a channel; the old one stays if the box refuses it."""
        channel, value = rest if len(rest) == 2 else (1, rest[0])
        setting = self.of_channels[key]
        if setting.limits is not None:
            value = self._clipped(setting, channel, value)
        if not setting.stored:
            getattr(self, f"set_{key}")(channel, value)
            return
        before = self.value(key, channel)
        if value == before:
            return
        self.before_change(channel)
        self.put(key, channel, value)
        if setting.changed:
            try:
                getattr(self, setting.changed)(channel)
            except ScpiError:
                self.put(key, channel, before)
                raise

    def get_channel(self, key: str, *rest: Any) -> Any:
        """A channel's value, or one of its limits."""
        channel = next((each for each in rest if isinstance(each, int)), 1)
        word = next((each for each in rest if isinstance(each, str)), "")
        setting = self.of_channels[key]
        if word:
            return self._word(setting, channel, word)
        return self.value(key, channel) if setting.stored else getattr(self, f"get_{key}")(channel)

    def before_change(self, channel: int) -> None:
        """A channel's setting is about to change."""

    def limits_of(self, setting: ChannelSetting, channel: int) -> tuple[float, float]:
        """Lowest and highest value that a channel takes now."""
        known = setting.limits
        low, high = getattr(self, known)(channel) if isinstance(known, str) else known or (0.0, 0.0)
        return float(low), float(high)

    def _word(self, setting: ChannelSetting, channel: int, word: str) -> float:
        low, high = self.limits_of(setting, channel)
        if word == "DEF":
            if setting.default is None:
                raise ScpiError(-224)
            return float(setting.default)
        return low if word == "MIN" else high

    def _clipped(self, setting: ChannelSetting, channel: int, value: float | str) -> float:
        if isinstance(value, str):
            return self._word(setting, channel, value)
        if value == float("inf") and getattr(setting.parameter, "infinite", False):
            return value
        low, high = self.limits_of(setting, channel)
        slack = 1e-9 * max(abs(low), abs(high)) if abs(high) < 1e300 else 0.0
        if value < low - slack:
            self.complain(CLIPPED, "value clipped to lower limit")
        elif value > high + slack:
            self.complain(CLIPPED, "value clipped to upper limit")
        return min(max(value, low), high)

    # ---- how the boxes write -----------------------------------------------------------------------

    def format_number(self, value: float) -> str:
        """As the box writes it: +1.000000000000000E+03."""
        return "+9.9E+37" if value == float("inf") else f"{value:+.15E}"

    @query("SYSTem:ERRor[:NEXT]")
    def _next_error(self) -> str:
        code, text = self.errors.take()
        return f"{code:+d},{quote(text)}"
