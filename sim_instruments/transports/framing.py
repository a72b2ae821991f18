"""Where one program message ends and the next begins in a stream of bytes."""

from __future__ import annotations

import re
from functools import cache

LINE_ENDS = b"\r\n"
"""What ends a message of nearly every box; a 4200A-SCS takes NUL instead."""


@cache
def _edge(blocks: bool, terminators: bytes) -> re.Pattern[bytes]:
    """A terminator, or a definite-length block as a parameter (after a blank or a comma): #<n><n digits>."""
    end = b"[" + re.escape(terminators) + b"]"
    return re.compile(end + rb"|(?<=[ \t,])#([1-9])" if blocks else end)


def split_messages(
    data: bytes, blocks: bool = True, terminators: bytes = LINE_ENDS
) -> tuple[list[bytes], bytes]:
    """Split bytes into (complete messages without terminators, unfinished rest).

    Any of the terminators ends a message, empty messages are dropped. With `blocks`, terminators inside a
    definite-length block (#n...) belong to its data.
    """
    pieces, start, _ = _cut(data, 0, _edge(blocks, terminators))
    return [data[first:last] for first, last in pieces], data[start:]  # all of it is not copied


def _cut(
    held: bytes | bytearray, position: int, pattern: re.Pattern[bytes]
) -> tuple[list[tuple[int, int]], int, int]:
    """(places of complete messages, where the rest begins, from where to look on) when looking from position.

    The last is beyond the end while a block is still coming.
    """
    start, pieces = 0, []
    while position <= len(held) and (edge := pattern.search(held, position)):
        if edge.lastindex is None:
            if edge.start() > start:
                pieces.append((start, edge.start()))
            start = position = edge.end()
            continue
        body = edge.end() + int(edge.group(1))
        if body > len(held):
            return pieces, start, edge.start()  # the length is still coming
        length = bytes(held[edge.end() : body])
        position = body + int(length) if length.isdigit() else edge.end()
    if position <= len(held):
        position = len(held) - held.endswith(b"#")  # the digit of a block may come next
    return pieces, start, position


class Framer:
    """Collects the bytes of one connection until a message is complete; holds at most `limit` of them.

    Bytes are looked at once, and those inside a definite-length block not at all, however many they are.
    """

    def __init__(self, limit: int, blocks: bool = True, terminators: bytes = LINE_ENDS):
        self._limit = limit
        self._edge = _edge(blocks, terminators)
        self._held = bytearray()
        self._position = 0  # from where to look; beyond the end while a block is still coming

    @property
    def rest(self) -> bytes:
        """What has come of a message that is not complete."""
        return bytes(self._held)

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """The messages that are complete now. Raises OverflowError when one grows beyond the limit."""
        self._held += data
        messages = self._complete() if len(self._held) >= self._position else []
        if max(len(self._held), self._position) > self._limit:
            raise OverflowError(f"a message of more than {self._limit} bytes")
        return messages

    def _complete(self) -> list[bytes]:
        pieces, start, position = _cut(self._held, self._position, self._edge)
        messages = [bytes(memoryview(self._held)[first:last]) for first, last in pieces]
        del self._held[:start]
        self._position = position - start
        return messages
