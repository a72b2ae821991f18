"""A protocol's class and its parameters, checked: every problem at once, one sentence each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from hilab.engine.protocol import Protocol, ProtocolParams
from hilab.errors import UsageError
from hilab.plugins import PROTOCOLS, load, nearest

UNITS = {
    "s": "seconds",
    "a": "ampere",
    "v": "volt",
    "t": "tesla",
    "m": "metre",
    "ohm": "ohm",
    "hz": "hertz",
    "k": "kelvin",
    "w": "watt",
    "j": "joule",
}
SHOWN = 60  # characters of a wrong value that are repeated


def find_protocol(name_or_class: str | type[Protocol[Any]]) -> type[Protocol[Any]]:
    """The protocol's class: as given, or registered under this name. UsageError for anything else."""
    if isinstance(name_or_class, str):
        found = load(PROTOCOLS, name_or_class)
    else:
        found = name_or_class
    if not (isinstance(found, type) and issubclass(found, Protocol)):
        raise UsageError(
            f"{name_or_class!r} is not a protocol: a protocol is a subclass of hilab.engine.Protocol"
        )
    return found


def checked_params(model: type[ProtocolParams], given: Mapping[str, Any] | ProtocolParams) -> ProtocolParams:
    """The parameters as the protocol wants them. UsageError with every problem at once."""
    if isinstance(given, model):
        return given
    values = given.model_dump() if isinstance(given, ProtocolParams) else dict(given)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UsageError([_sentence(model, problem) for problem in error.errors()]) from error


PLAIN = "none"
"""The preset that sets nothing, where another one would be taken."""


def with_preset(
    protocol: type[Protocol[Any]],
    given: Mapping[str, Any] | ProtocolParams,
    preset: str | None,
    *,
    simulated: bool,
) -> Mapping[str, Any] | ProtocolParams:
    """The parameters that a preset sets, and what is given on top of it.

    preset None takes the one that is meant for a real bench, on a real bench; "none" takes none at all.
    UsageError for an unknown one. Checked parameters are taken as they stand.
    """
    name = preset if preset is not None else ("" if simulated else protocol.real_bench_preset)
    if name not in ("", PLAIN, *protocol.presets):
        known = ", ".join([*protocol.presets, PLAIN])
        raise UsageError(f"{protocol.name} has no preset {name!r}{nearest(name, protocol.presets)}: {known}")
    if isinstance(given, ProtocolParams):
        if preset is not None:
            raise UsageError("a preset goes with a mapping of parameters, not with checked ones")
        return given
    return {**protocol.presets.get(name, {}), **given}


def unit_of(parameter: str) -> str:
    """The unit that a parameter's name carries ("write_a": ampere); '' if it carries none."""
    head, _, suffix = parameter.rpartition("_")
    return UNITS.get(suffix, "") if head else ""


def _sentence(model: type[ProtocolParams], problem: Any) -> str:
    where: Sequence[Any] = problem["loc"]
    if not where:
        return f"parameters: {_lower(problem['msg'])}"
    name = str(where[0])
    if problem["type"] == "extra_forbidden" and len(where) == 1:
        known = ", ".join(model.model_fields)
        return f"there is no parameter {name!r}{nearest(name, model.model_fields)} (known: {known})"
    if problem["type"] == "missing" and len(where) == 1:
        return f"parameter {name!r} is missing{_about(model, name)}"
    place = name + "".join(f"[{part}]" for part in where[1:])
    shown = repr(problem["input"])
    shown = shown if len(shown) <= SHOWN else shown[: SHOWN - 1] + "…"
    return f"parameter {place!r} is {shown}: {_lower(problem['msg'])}{_about(model, name)}"


def _about(model: type[ProtocolParams], name: str) -> str:
    field = model.model_fields.get(name)
    parts = [field.description or "" if field else "", unit_of(name) and f"in {unit_of(name)}"]
    text = ", ".join(part.rstrip(".") for part in parts if part)
    return f" ({text})" if text else ""


def _lower(text: str) -> str:
    text = text.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
