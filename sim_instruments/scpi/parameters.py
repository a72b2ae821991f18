"""Types of command parameters: each turns the text of one parameter into a value, or refuses it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sim_instruments.scpi.errors import ScpiError
from sim_instruments.scpi.lexer import block_bounds, split_outside
from sim_instruments.scpi.tree import forms

_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z%]*)", re.ASCII)
_LIST = re.compile(r"[-+0-9.eE, \t]*")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_RADIX = {"H": 16, "Q": 8, "B": 2}
_PREFIX = {"": 1.0, "P": 1e-12, "N": 1e-9, "U": 1e-6, "M": 1e-3, "K": 1e3}
_MEGA_UNITS = frozenset({"HZ", "OHM"})  # before these SCPI reads M as mega, everywhere else as milli
INFINITY = float("inf")


class Parameter(Protocol):
    """One parameter of a command."""

    def parse(self, text: str) -> Any:
        """The value; raises ScpiError."""
        ...


@dataclass(frozen=True)
class Number:
    """A number within low..high; MIN, MAX, DEF where they make sense; INF if `infinite`.

    unit: the suffix the box takes after the number ('A', 'V', 'S', 'HZ'), with the usual prefixes.
    """

    low: float = -INFINITY
    high: float = INFINITY
    default: float | None = None
    unit: str = ""
    infinite: bool = False
    integer: bool = False

    def parse(self, text: str) -> float | int:
        value = self._value(text)
        if value == INFINITY and self.infinite:
            return INFINITY
        if not self.low <= value <= self.high:
            raise ScpiError(-222)
        return round(value) if self.integer else float(value)

    def keyword(self, word: str) -> float | None:
        """The value of MIN, MAX or DEF; None for any other word."""
        limits = {"MIN": self.low, "MAX": self.high, "DEF": self.default}
        short = {"MINIMUM": "MIN", "MAXIMUM": "MAX", "DEFAULT": "DEF"}.get(word.upper(), word.upper())
        value = limits.get(short)
        return None if value is None else float(value)

    def _value(self, text: str) -> float:
        found = _NUMBER.fullmatch(text)
        if found is not None:
            return float(found[1]) * self._factor(found[2].upper())
        if _WORD.fullmatch(text):
            if self.infinite and text.upper() in ("INF", "INFINITY"):
                return INFINITY
            value = self.keyword(text)
            if value is None or abs(value) == INFINITY:
                raise ScpiError(-104)
            return value
        if text[:1] == "#" and text[1:2].upper() in _RADIX:
            try:
                return int(text[2:], _RADIX[text[1].upper()])
            except ValueError:
                raise ScpiError(-121) from None
        raise ScpiError(-121 if text[:1] in set("+-.0123456789") else -104)

    def _factor(self, suffix: str) -> float:
        if not suffix:
            return 1.0
        if not self.unit:
            raise ScpiError(-138)
        prefix = suffix.removesuffix(self.unit)
        if suffix == prefix or prefix not in _PREFIX:
            raise ScpiError(-131)
        return 1e6 if prefix == "M" and self.unit in _MEGA_UNITS else _PREFIX[prefix]


@dataclass(frozen=True)
class Boolean:
    """ON, OFF, 1, 0."""

    def parse(self, text: str) -> bool:
        word = text.upper()
        if word in ("ON", "1"):
            return True
        if word in ("OFF", "0"):
            return False
        if _NUMBER.fullmatch(text):
            return bool(round(float(_NUMBER.fullmatch(text)[1])))  # type: ignore[index]
        raise ScpiError(-104)


class Choice:
    """One of some words, given like a pattern's nodes ('FIXed'); the value is the short form.

    quoted: the word stands in quotation marks ('VOLT:DC' of a SENSe:FUNCtion).
    """

    def __init__(self, *words: str, quoted: bool = False):
        self.quoted = quoted
        self._values: dict[str, str] = {}
        for word in words:
            short, long = _both_forms(word)
            self._values[short] = self._values[long] = short

    def parse(self, text: str) -> str:
        word = unquote(text) if self.quoted else text
        value = self._values.get(word.upper())
        if value is None:
            raise ScpiError(-224 if self.quoted or _WORD.fullmatch(word) else -104)
        return value


def _both_forms(word: str) -> tuple[str, str]:
    nodes = [forms(node) for node in word.split(":")]
    return ":".join(node[0] for node in nodes), ":".join(node[1] for node in nodes)


@dataclass(frozen=True)
class Text:
    """A quoted string; the value has no quotation marks."""

    longest: int = 1000

    def parse(self, text: str) -> str:
        value = unquote(text)
        if len(value) > self.longest:
            raise ScpiError(-223)
        return value


def unquote(text: str) -> str:
    """The content of 'text' or "text"; a doubled mark stands for one. -104 without quotation marks."""
    if len(text) < 2 or text[0] not in "\"'" or text[-1] != text[0]:
        raise ScpiError(-104)
    return text[1:-1].replace(text[0] * 2, text[0])


def quote(text: str) -> str:
    """The text as a string response."""
    return '"' + text.replace('"', '""') + '"'


@dataclass(frozen=True)
class NumberList:
    """All remaining parameters as one array, each within low..high; at most `longest` of them.

    `reads_rest` makes the command hand over its whole argument text at once.
    """

    low: float
    high: float
    longest: int
    reads_rest = True

    def parse(self, text: str) -> NDArray[np.float64]:
        if _LIST.fullmatch(text) is None:
            raise ScpiError(-104)
        words = text.split(",")
        if len(words) > self.longest:
            raise ScpiError(-223)
        try:
            values = np.array([float(word) for word in words])
        except ValueError:
            raise ScpiError(-109 if any(not word.strip() for word in words) else -121) from None
        if values.min() < self.low or values.max() > self.high:
            raise ScpiError(-222)
        return values


@dataclass(frozen=True)
class Channels:
    """A channel list (@1!1,1!11); the value is a tuple of the texts between the commas, ranges as given.

    takes_all: the word ALL is allowed and gives ('ALL',).
    """

    takes_all: bool = False

    def parse(self, text: str) -> tuple[str, ...]:
        if self.takes_all and text.upper() == "ALL":
            return ("ALL",)
        if text[:1] != "(":
            raise ScpiError(-104)
        if text[:2] != "(@" or text[-1] != ")":
            raise ScpiError(-170)
        content = text[2:-1].strip()
        return tuple(item.strip() for item in content.split(",")) if content else ()


@dataclass(frozen=True)
class Block:
    """A binary block #<n><length>...; the value is its bytes."""

    def parse(self, text: str) -> bytes:
        if text[:1] != "#" or not text[1:2].isdigit():
            raise ScpiError(-104)
        first, end = block_bounds(text)
        if text[end:].strip():
            raise ScpiError(-161)
        return text[first:end].encode("latin-1")


def parse_arguments(text: str, parameters: tuple[Parameter, ...], required: int) -> list[Any]:
    """The values of a command's parameters; -108 if there are too many, -109 too few."""
    if parameters and getattr(parameters[0], "reads_rest", False):
        if not text.strip():
            raise ScpiError(-109)
        return [parameters[0].parse(text)]
    words = split_outside(text, ",") if text else []
    if len(words) > len(parameters):
        raise ScpiError(-108)
    if len(words) < required or "" in words:
        raise ScpiError(-109)
    return [parameter.parse(word) for parameter, word in zip(parameters, words, strict=False)]


def block(content: bytes) -> bytes:
    """The bytes as a definite-length block."""
    length = str(len(content)).encode()
    return b"#" + str(len(length)).encode() + length + content


def number_block(values: NDArray[np.float64], *, single: bool, swapped: bool) -> bytes:
    """Values as a block of IEEE 754 numbers: single or double precision, big-endian unless swapped."""
    return block(values.astype(("<" if swapped else ">") + ("f4" if single else "f8")).tobytes())
