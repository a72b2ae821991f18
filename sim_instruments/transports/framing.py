"""Where one program message ends and the next begins in a stream of bytes."""

from __future__ import annotations

import re

# A terminator, or a definite-length block as a parameter (after a blank or a comma): #<n><n digits>.
_EDGE = re.compile(rb"[\r\n]|(?<=[ \t,])#([1-9])")
_TERMINATORS = b"\r\n"


def split_messages(data: bytes, blocks: bool = True) -> tuple[list[bytes], bytes]:
    """Split bytes into (complete messages without terminators, unfinished rest).

    LF, CR and CR LF end a message, empty messages are dropped. With `blocks`, terminators inside a
    definite-length block (#n...) belong to its data.
    """
    if not blocks or b"#" not in data:
        pieces = data.replace(b"\r", b"\n").split(b"\n")
        rest = pieces.pop()
        return [piece for piece in pieces if piece], rest
    messages = []
    start = position = 0
    while edge := _EDGE.search(data, position):
        if edge.group(1) is None:
            if edge.start() > start:
                messages.append(data[start : edge.start()])
            start = position = edge.end()
        else:
            body = edge.end() + int(edge.group(1))
            if body > len(data):
                break
            length = data[edge.end() : body]
            position = min(body + int(length), len(data)) if length.isdigit() else edge.end()
            if position == len(data):
                break
    return messages, data[start:]


class Framer:
    """Collects the bytes of one connection until a message is complete; holds at most `limit` of them."""

    def __init__(self, limit: int, blocks: bool = True):
        self._limit = limit
        self._blocks = blocks
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now. Raises OverflowError when one grows beyond the limit."""
        self._held += data
        messages: list[bytes] = []
        if b"\n" in data or b"\r" in data:
            messages, rest = split_messages(bytes(self._held), self._blocks)
            self._held = bytearray(rest)
        if len(self._held) > self._limit:
            raise OverflowError(f"a message of more than {self._limit} bytes")
        return messages
