"""Where in a TOML text a key stands, so that a problem can be named with its line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\-.\"']+?)\s*=")

Place = tuple[str | int, ...]


def lines_of(text: str) -> dict[Place, int]:
    """Line number (from 1) of each table and key; inline tables are found by their outermost key."""
    found: dict[Place, int] = {}
    arrays: Counter[str] = Counter()
    table: Place = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _split(header[2])
            if header[1] == "[[":
                table = (*table, arrays[header[2]])
                arrays[header[2]] += 1
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, *_split(key[1])), number)
    return found


def describe(place: Sequence[str | int], lines: dict[Place, int]) -> str:
    """'line 12, instruments.smu.driver' (without the line where it cannot be told)."""
    dotted = ".".join(str(part) for part in place)
    for length in range(len(place), 0, -1):
        line = lines.get(tuple(place[:length]))
        if line is not None:
            return f"line {line}, {dotted}"
    return dotted


def _split(dotted: str) -> Place:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
