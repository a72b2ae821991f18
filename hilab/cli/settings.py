"""Values of `--set k=v`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from typing import Any


def parse_settings(settings: Iterable[str]) -> tuple[dict[str, Any], list[str]]:
    """({key: value}, [problem, ...]): every setting read as TOML or JSON, else taken as text."""
    values: dict[str, Any] = {}
    problems = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals or not key:
            problems.append(f"--set {setting!r} is no key=value")
        elif key in values:
            problems.append(f"--set gives {key!r} more than once")
        else:
            values[key] = parse_value(text.strip())
    return values, problems


def parse_value(text: str) -> Any:
    """1e-3, true, "text", [1, 2], null; [w2_d1, w2_d2] as a list of texts; anything else is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        pass
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        pass
    if text.startswith("[") and text.endswith("]"):
        return [parse_value(part.strip()) for part in text[1:-1].split(",") if part.strip()]
    return text
