"""What the commands print: one JSON document or plain aligned text on stdout, everything else on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def say(text: str) -> None:
    """A line for the person, on stderr."""
    print(text, file=sys.stderr, flush=True)


def write_json(document: Any) -> None:
    """One JSON document on stdout; what JSON cannot hold (nan) becomes null."""
    print(json.dumps(_strict(document), ensure_ascii=False, allow_nan=False), flush=True)


def write_table(rows: Sequence[Sequence[Any]], head: Sequence[str] = ()) -> None:
    """Aligned columns on stdout."""
    texts = [[text_of(cell) for cell in row] for row in ([head, *rows] if head else rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)] if texts else []
    for row in texts:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def write_tree(values: Mapping[str, Any], indent: str = "") -> None:
    """Nested values as indented lines on stdout."""
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    width = max(map(len, plain), default=0)
    for key, value in values.items():
        if isinstance(value, Mapping):
            print(f"{indent}{key}")
            write_tree(value, indent + "  ")
        else:
            print(f"{indent}{key.ljust(width)}  {text_of(value)}".rstrip())


def text_of(value: Any) -> str:
    """A value for people: numbers with five digits, lists with commas."""
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(text_of(item) for item in value)
    return "" if value is None else str(value)


def duration(seconds: float) -> str:
    """'1 h 03 min', '2 min 05 s', '7 s'; '?' while nothing is known."""
    if not math.isfinite(seconds):
        return "?"
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole} s"


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if hasattr(value, "tolist"):  # numpy
        return _strict(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
