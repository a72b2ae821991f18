"""Where one program message ends and the next begins in a stream of bytes."""

from __future__ import annotations

import math
import re

# A terminator, or a definite-length block as a parameter (after a blank or a comma): #<n><n digits>.
_EDGE = re.compile(rb"[\r\n]|(?<=[ \t,])#([1-9])")
_TERMINATOR = re.compile(rb"[\r\n]")


def split_messages(data: bytes, blocks: bool = True) -> tuple[list[bytes], bytes]:
    """Split bytes into (complete messages without terminators, unfinished rest).

    LF, CR and CR LF end a message, empty messages are dropped. With `blocks`, terminators inside a
    definite-length block (#n...) belong to its data.
    """
    framer = Framer(math.inf, blocks)
    return framer.feed(data), framer.rest


class Framer:
    """Collects the bytes of one connection until a message is complete; holds at most `limit` of them.

    Bytes are looked at once, and those inside a definite-length block not at all, however many they are.
    """

    def __init__(self, limit: float, blocks: bool = True):
        self._limit = limit
        self._edge = _EDGE if blocks else _TERMINATOR
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
        held, start, position = self._held, 0, self._position
        messages = []
        while position <= len(held) and (edge := self._edge.search(held, position)):
            if edge.group() in (b"\n", b"\r"):
                if edge.start() > start:
                    messages.append(bytes(memoryview(held)[start : edge.start()]))
                start = position = edge.end()
                continue
            body = edge.end() + int(edge.group(1))
            if body > len(held):
                position = edge.start()  # the length is still coming
                break
            length = bytes(held[edge.end() : body])
            position = body + int(length) if length.isdigit() else edge.end()
        else:
            if position <= len(held):
                position = len(held) - held.endswith(b"#")  # the digit of a block may come next
        del held[:start]
        self._position = position - start
        return messages
