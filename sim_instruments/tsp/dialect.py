"""The gate in front of the Lua 5.1 compiler: what a Lua 5.0 box refuses is refused, its idioms pass.

The box's language is Lua 5.0.2. Differences of the syntax, all found here on tokens (never inside
strings or comments):

  refused   `#`, `%`, `...` outside a parameter list, hexadecimal numbers, long brackets with levels
  accepted  nested long brackets, `--[==[` as a plain line comment, `for k, v in t do`

Differences of the library are a matter of the environment (sandbox.lua), where the box lacks them too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# Only a message with one of these can differ between the dialects; the others pass at once.
_SUSPECT = re.compile(r"[#%\[\"']|--|\.\.\.|0[xX]|\bin\b")

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<comment>--)
      | (?P<long>\[\[)
      | (?P<string>["'])
      | (?P<name>[A-Za-z_]\w*)
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<symbol>\.\.\.|\.\.|==|~=|<=|>=|[^\w\s])""",
    re.VERBOSE,
)
_LONG_EDGE = re.compile(r"\[\[|\]\]")
FOR_IN = "__for_in"  # sandbox.lua: turns a table into next, table


class DialectError(Exception):
    """Source that the box's compiler refuses; `line` counts from 1."""

    def __init__(self, line: int, text: str):
        self.line = line
        self.text = text
        super().__init__(f"at line {line}: {text}")


def translate(source: str) -> str:
    """Lua 5.0 source as Lua 5.1 source with the same line numbers; DialectError if the box refuses it."""
    if not _SUSPECT.search(source):
        return source
    return "".join(_ForIn().feed(_Header().feed(_tokens(source))))


Token = tuple[str, str, int]  # kind, text as it goes on, line


def _tokens(source: str) -> Iterator[Token]:
    place, line = 0, 1
    while place < len(source):
        match = _TOKEN.match(source, place)
        if match is None:  # a lone surrogate of a number such as 1__; the compiler says what is wrong
            yield "symbol", source[place], line
            place += 1
            continue
        kind, text, end = str(match.lastgroup), match.group(), match.end()
        if kind == "comment":
            end = _comment_end(source, end)
            kind, text = "space", "\n" * source.count("\n", place, end) or " "
        elif kind == "string":
            end = _string_end(source, place, line)
            text = source[place:end]
        elif kind == "long":
            end = _long_end(source, place, line)
            text = _quoted(source[place + 2 : end - 2])
            kind = "string"
        elif kind == "number" and text == "0" and source[end : end + 1] in ("x", "X"):
            raise DialectError(line, "malformed number near `0x'")
        elif kind == "symbol":
            _check_symbol(source, place, text, line)
        yield kind, text, line
        line += source.count("\n", place, end)
        place = end


def _check_symbol(source: str, place: int, text: str, line: int) -> None:
    if text in ("#", "%"):
        raise DialectError(line, f"unexpected symbol near `{text}'")
    if text == "[" and re.match(r"=+\[", source[place + 1 :]):
        raise DialectError(line, "unexpected symbol near `='")


def _comment_end(source: str, place: int) -> int:
    """End of a comment whose `--` ends at place: nested `[[ ]]`, else the end of the line."""
    if source.startswith("[[", place):
        return _long_end(source, place, source.count("\n", 0, place) + 1)
    end = source.find("\n", place)
    return len(source) if end < 0 else end


def _long_end(source: str, place: int, line: int) -> int:
    depth = 0
    for edge in _LONG_EDGE.finditer(source, place):
        depth += 1 if edge.group() == "[[" else -1
        if depth == 0:
            return edge.end()
    raise DialectError(line, "unfinished long string near `<eof>'")


def _string_end(source: str, place: int, line: int) -> int:
    quote, at = source[place], place + 1
    while at < len(source):
        if source[at] == "\\":
            at += 2
        elif source[at] == quote:
            return at + 1
        elif source[at] == "\n":
            break
        else:
            at += 1
    raise DialectError(line, f"unfinished string near `{source[place : place + 20]}'")


def _quoted(body: str) -> str:
    """A long string as a quoted one that spans the same lines (5.1 refuses nested brackets)."""
    lead = "\n" if body.startswith("\n") else ""  # the first line end does not belong to the string
    body = body.removeprefix("\n")
    escaped = body.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\0", "\\000")
    return lead + '"' + escaped.replace("\n", "\\\n") + '"'


class _Header:
    """Lets `...` pass only where a function's parameters are named."""

    def feed(self, tokens: Iterator[Token]) -> Iterator[Token]:
        header = False
        for token in tokens:
            kind, text, line = token
            if kind == "name" and text == "function":
                header = True
            elif text == ")" and kind == "symbol":
                header = False
            elif text == "..." and kind == "symbol" and not header:
                raise DialectError(line, "unexpected symbol near `...'")
            yield token


class _ForIn:
    """Wraps the expressions of `for ... in ... do`, so that a bare table may stand there."""

    def feed(self, tokens: Iterator[Token]) -> Iterator[str]:
        blocks: list[str] = []
        for kind, text, _ in tokens:
            if kind != "name":
                yield text
                continue
            top = blocks[-1] if blocks else ""
            if text in ("function", "if", "repeat", "for", "while"):
                blocks.append(text)
            elif text == "in" and top == "for":
                blocks[-1] = "for in"
                text = f"in {FOR_IN}("
            elif text == "do":
                if top == "for in":
                    text = ") do"
                if top in ("for", "for in", "while"):
                    blocks.pop()
                blocks.append("do")
            elif text in ("end", "until") and blocks:
                blocks.pop()
            yield text
