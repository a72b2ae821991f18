"""Lists of crosspoints as a 707B takes them: '1A03', '1A01:1B05', 'slot2', 'allslots', names of patterns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sim_instruments.tsp.errors import ParameterError

ROWS, COLUMNS = "ABCDEFGH", 12  # of a 7072 and most other cards of this mainframe [R]
BAD_PARAMETER = 1115  # [R] the number; that it is queued and nothing moves is in the manual

_CROSSPOINT = re.compile(r"([1-6])([A-H])(\d{1,2})")
_PATTERN_NAME = re.compile(r"[A-Za-z]\w{0,18}")  # the manual's rule for names
_WHOLE = re.compile(r"(?:slot([1-6])|(allslots))")


def refused(text: str) -> ParameterError:
    """The error that a list with this fault leaves in the queue."""
    return ParameterError(BAD_PARAMETER, f"Parameter error, {text}")


class CrosspointLists:
    """Reads channel lists for a mainframe with these cards; patterns maps names to crosspoints."""

    def __init__(self, cards: Sequence[str]):
        self.cards = tuple(cards)
        self.patterns: dict[str, tuple[str, ...]] = {}
        self.every = tuple(
            f"{slot}{row}{column:02d}"
            for slot, card in enumerate(self.cards, start=1)
            if card
            for row in ROWS
            for column in range(1, COLUMNS + 1)
        )
        self._place = {name: place for place, name in enumerate(self.every)}

    def ordered(self, names: Mapping[str, object] | set[str] | Sequence[str]) -> list[str]:
        """Slot by slot, row by row, column by column."""
        return sorted(names, key=self._place.__getitem__)

    def read(self, text: object, whole_slots: bool = True) -> list[str]:
        """The crosspoints of a list, each once; ParameterError for anything that is not there."""
        if not isinstance(text, str):
            raise refused("a channel list is a string")
        found: dict[str, None] = {}
        for item in filter(None, (part.strip() for part in re.split("[,;]", text))):
            found |= dict.fromkeys(self._item(item, whole_slots))
        return list(found)

    def check_name(self, name: object) -> str:
        """A name that a pattern may have."""
        if not isinstance(name, str) or not _PATTERN_NAME.fullmatch(name) or _WHOLE.fullmatch(name):
            raise refused("invalid pattern name")
        return name

    def _item(self, item: str, whole_slots: bool) -> Sequence[str]:
        if item in self.patterns:
            return self.patterns[item]
        if whole := _WHOLE.fullmatch(item):
            if not whole_slots:
                raise refused(f"{item} cannot be closed as a whole")
            chosen = whole[1]
            return [name for name in self.every if chosen is None or name[0] == chosen]
        first, colon, last = item.partition(":")
        start, stop = self._crosspoint(first.strip()), self._crosspoint(last.strip() if colon else first)
        if self._place[start] > self._place[stop]:
            raise refused(f"invalid range {item}")
        return self.every[self._place[start] : self._place[stop] + 1]

    def _crosspoint(self, text: str) -> str:
        match = _CROSSPOINT.fullmatch(text.strip())
        if match is None:
            raise refused(f"invalid channel or pattern {text}")
        slot, row, column = match.groups()
        name = f"{slot}{row}{int(column):02d}"
        if name not in self._place:
            raise refused(f"no such channel {text}")
        return name
