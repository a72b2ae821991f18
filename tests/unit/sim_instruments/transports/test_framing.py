"""Messages out of a stream of bytes, however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_instruments.transports.framing import Framer, split_messages

LINES = st.lists(st.binary(min_size=1, max_size=12).filter(lambda b: not set(b) & set(b"\r\n#")), max_size=6)
BLOCKS = st.binary(max_size=40).map(
    lambda body: b"DATA:ARB x, #%d%d%s" % (len(str(len(body))), len(body), body)
)


@pytest.mark.parametrize(
    ("data", "messages", "rest"),
    [
        (b"", [], b""),
        (b"A\n", [b"A"], b""),
        (b"A\r\nB\rC", [b"A", b"B"], b"C"),
        (b"\n\n\r\n", [], b""),
        (b"X #13a\nb\nY\n", [b"X #13a\nb", b"Y"], b""),
        (b"X #13a\nb", [], b"X #13a\nb"),
        (b"X #15a\nb\n", [], b"X #15a\nb\n"),
        (b"X #9", [], b"X #9"),
        (b"X #2zz\nY\n", [b"X #2zz", b"Y"], b""),  # no length: an ordinary message, the parser complains
        (b"X #0abc\n", [b"X #0abc"], b""),
        (b"x#15\n\n", [b"x#15"], b""),
        (b"ROUT:CLOS (@1!1)\n", [b"ROUT:CLOS (@1!1)"], b""),
    ],
)
def test_split(data: bytes, messages: list[bytes], rest: bytes) -> None:
    assert split_messages(data) == (messages, rest)


def test_without_blocks_every_terminator_counts() -> None:
    assert split_messages(b"print(' #19')\nb\n", blocks=False) == ([b"print(' #19')", b"b"], b"")


@given(st.lists(st.one_of(BLOCKS, LINES.map(b";".join)), max_size=6), st.data())
def test_any_cutting_gives_the_same_messages(sent: list[bytes], data: st.DataObject) -> None:
    sent = [message for message in sent if message]
    stream = b"".join(message + data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"])) for message in sent)
    framer = Framer(1 << 20)
    got: list[bytes] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        got += framer.feed(stream[:size])
        stream = stream[size:]
    assert got == sent


def test_a_message_without_end_is_refused_at_the_limit() -> None:
    framer = Framer(100)
    assert framer.feed(b"x" * 100) == []
    with pytest.raises(OverflowError, match="100 bytes"):
        framer.feed(b"x")


def test_a_block_that_promises_more_than_the_limit_is_refused() -> None:
    framer = Framer(100)
    assert framer.feed(b"X #999999999") == []  # one digit of the length is still missing
    with pytest.raises(OverflowError):
        framer.feed(b"9")


def test_a_block_of_line_feeds_is_never_searched() -> None:
    body = b"\n" * 1_000_000
    stream = b"DATA:ARB:DAC x, #71000000" + body + b"\nNEXT\n"
    framer = Framer(1 << 21)
    looked: list[int] = []
    edge = framer._edge

    class Counting:
        """The search, and where it began."""

        def search(self, held: bytearray, position: int) -> object:
            looked.append(position)
            return edge.search(held, position)

    framer._edge = Counting()  # type: ignore[assignment]
    got: list[bytes] = []
    for start in range(0, len(stream), 4096):
        got += framer.feed(stream[start : start + 4096])
    assert got == [stream[:1_000_025], b"NEXT"]
    assert len(looked) < 10  # once for the header, then after the block
