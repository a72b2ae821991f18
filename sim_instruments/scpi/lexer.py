"""Cuts a program message into units and parameters; quotes, blocks and expressions protect separators."""

from __future__ import annotations

import re
from typing import NamedTuple

from sim_instruments.scpi.errors import ScpiError

_PROTECTED = re.compile(r"""["'#(]""")
_HEADER = re.compile(r"(:?\*[A-Za-z]+|:?[A-Za-z]\w*(?::[A-Za-z]\w*)*)(\?)?(?:\s+|$)", re.ASCII)


class Unit(NamedTuple):
    """One command or query: its header as typed, and its parameters still as one text."""

    header: str
    query: bool
    arguments: str


def split_outside(text: str, separator: str) -> list[str]:
    """Split at a separator that stands outside quotes, blocks and parentheses; parts are stripped.

    Text is the message decoded as Latin-1, so that binary blocks keep one character for each byte.
    """
    if _PROTECTED.search(text) is None:
        return [part.strip() for part in text.split(separator)]
    parts, start, position = [], 0, 0
    stop = re.compile(rf"""["'#({re.escape(separator)}]""")
    while found := stop.search(text, position):
        position = found.start()
        if text[position] == separator:
            parts.append(_trimmed(text[start:position]))
            start = position = position + 1
        else:
            position = _protected_end(text, position)
    parts.append(_trimmed(text[start:]))
    return parts


def _trimmed(part: str) -> str:
    """Without white space around it; a block's last bytes may look like white space and stay."""
    return part.lstrip() if "#" in part else part.strip()


def _protected_end(text: str, start: int) -> int:
    """Index just behind the quoted text, block or expression that begins at `start`."""
    mark = text[start]
    if mark == "#":
        return block_bounds(text, start)[1] if text[start + 1 : start + 2].isdigit() else start + 1
    closing = ")" if mark == "(" else mark
    end = text.find(closing, start + 1)
    if end < 0:
        raise ScpiError(-170 if mark == "(" else -151)
    return end + 1


def block_bounds(text: str, start: int = 0) -> tuple[int, int]:
    """(first, behind last) index of the content of a block #<n><length>... at `start`; -161 if it is wrong.

    #0 takes all the rest of the message.
    """
    digits = int(text[start + 1])
    if digits == 0:
        return start + 2, len(text)
    length = text[start + 2 : start + 2 + digits]
    if len(length) < digits or not length.isdecimal():
        raise ScpiError(-161)
    first = start + 2 + digits
    if first + int(length) > len(text):
        raise ScpiError(-161)
    return first, first + int(length)


def cut(text: str) -> Unit:
    """One message unit into header and arguments; -102 if it is no unit at all."""
    found = _HEADER.match(text)
    if found is None:
        raise ScpiError(-101 if text and not text.isascii() else -102)
    # Clients send ":*CLS" to Keithley boxes, and those take it.
    return Unit(
        found[1].removeprefix(":") if "*" in found[1] else found[1], found[2] is not None, text[found.end() :]
    )
