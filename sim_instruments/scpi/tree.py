"""The command tree: patterns such as 'SOURce<1>:CURRent[:LEVel][:IMMediate]' and the search in them.

Capitals are the short form; [..] is optional; <1> is a suffix that may be left out, <1-4> one that
reaches the handler. A header matches by its exact short or long form only, in any case.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from sim_instruments.scpi.errors import ScpiError

Leaf = TypeVar("Leaf")
_OPTIONAL = re.compile(r"\[([^\]]*)\]")
_NODE = re.compile(r"(\*?[A-Z]+)([a-z]*)(\d*)(?:<(\d+)(?:-(\d+))?>)?")
_SUFFIX = re.compile(r"(.*?)(\d+)$")


@dataclass
class Node(Generic[Leaf]):
    """A place in the tree; `suffixes` are the numbers it takes (empty: none)."""

    suffixes: range = range(0)
    children: dict[str, Node[Leaf]] = field(default_factory=dict)
    leaf: Leaf | None = None


class Level(NamedTuple, Generic[Leaf]):
    """Where the next header of a message starts: a place, and the suffixes of the way to it."""

    place: Node[Leaf]
    suffixes: tuple[int, ...] = ()


class Match(NamedTuple, Generic[Leaf]):
    """What a header stands for: the leaf, its numeric suffixes, and where the next header starts."""

    leaf: Leaf
    suffixes: tuple[int, ...]
    level: Level[Leaf]


def variants(pattern: str) -> list[list[str]]:
    """The pattern's spellings, with and without each optional part, as lists of nodes."""
    pieces = _OPTIONAL.split(pattern)
    choices = [("", piece) if index % 2 else (piece,) for index, piece in enumerate(pieces)]
    return [[node for node in "".join(choice).split(":") if node] for choice in itertools.product(*choices)]


def forms(node: str) -> tuple[str, str, range]:
    """(short, long, suffixes) of one node of a pattern."""
    found = _NODE.fullmatch(node)
    if found is None:
        raise ValueError(f"'{node}' is no node of a command pattern: write the short form in capitals")
    short, rest, digits, low, high = found.groups()
    suffixes = range(int(low), int(high or low) + 1) if low else range(0)
    return short + digits, short + rest.upper() + digits, suffixes


class CommandTree(Generic[Leaf]):
    """Finds the leaf for a header. Results are remembered: clients repeat themselves."""

    def __init__(self) -> None:
        self.root: Node[Leaf] = Node()
        self._top: Level[Leaf] = Level(self.root)
        self._known: dict[tuple[int, tuple[int, ...], str], Match[Leaf]] = {}

    def add(self, pattern: str, leaf: Leaf) -> None:
        """Declare a pattern; ValueError if another one stands there already."""
        for nodes in variants(pattern):
            place = self.root
            for node in nodes:
                place = self._child(place, node)
            if place.leaf is not None and place.leaf is not leaf:
                raise ValueError(f"two commands claim {':'.join(nodes)}")
            place.leaf = leaf

    def find(self, pattern: str) -> Leaf | None:
        """The leaf that was declared with this very pattern, or None."""
        place: Node[Leaf] | None = self.root
        for node in variants(pattern)[-1]:
            place = place.children.get(forms(node)[0]) if place is not None else None
        return place.leaf if place is not None else None

    def match(self, header: str, level: Level[Leaf] | None = None) -> Match[Leaf]:
        """Resolve a header as typed, from `level` on unless it starts with a colon; -113, -114."""
        start = self._top if level is None or header.startswith(":") else level
        key = (id(start.place), start.suffixes, header)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._search(start, header.removeprefix(":").upper())
        return known

    @staticmethod
    def _child(place: Node[Leaf], node: str) -> Node[Leaf]:
        short, long, suffixes = forms(node)
        child = place.children.get(long) or Node(suffixes)
        place.children[short] = place.children[long] = child
        return child

    @staticmethod
    def _search(start: Level[Leaf], header: str) -> Match[Leaf]:
        place, suffixes = start.place, list(start.suffixes)
        level = start
        for word in header.split(":"):
            level, number = Level(place, tuple(suffixes)), None
            child = place.children.get(word)
            if child is None and (found := _SUFFIX.fullmatch(word)):
                child, number = place.children.get(found[1]), int(found[2])
            if child is None or (number is not None and not child.suffixes):
                raise ScpiError(-113)
            if number is not None and number not in child.suffixes:
                raise ScpiError(-114)
            if len(child.suffixes) > 1:
                suffixes.append(child.suffixes[0] if number is None else number)
            place = child
        if place.leaf is None:
            raise ScpiError(-113)
        return Match(place.leaf, tuple(suffixes), level)
