"""Settings of the 2636B as data: a store of plain values, each with the check that guards it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sim_instruments.tsp.errors import ParameterError, TspError
from sim_instruments.tsp.runtime import Attribute

Check = Callable[[Any], Any]
TOO_BIG, TOO_SMALL = 1102, 1103


def number(low: float, high: float) -> Check:
    """A number from low to high."""

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TspError("bad value: a number expected")
        if value > high or value != value:
            raise ParameterError(TOO_BIG, "Parameter too big")
        if value < low:
            raise ParameterError(TOO_SMALL, "Parameter too small")
        return float(value)

    return check


def integer(low: int, high: int) -> Check:
    """A whole number; fractions are cut off."""
    inner = number(low, high)
    return lambda value: int(inner(value))


def choice(*allowed: int) -> Check:
    """One of a few numbers (the box's constants)."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TspError("bad value: a number expected")
        if value not in allowed:
            raise ParameterError(TOO_BIG if value > max(allowed) else TOO_SMALL, "Parameter out of range")
        return int(value)

    return check


SWITCH = choice(0, 1)


def setting(
    store: dict[str, Any], key: str, check: Check, changed: Callable[[], None] | None = None
) -> Attribute:
    """An attribute that lives in store[key]. `changed` may refuse the new value by raising."""

    def change(value: Any) -> None:
        new, old = check(value), store[key]
        store[key] = new
        if changed is not None:
            try:
                changed()
            except ParameterError:
                store[key] = old
                raise

    return Attribute(lambda: store[key], change)
