"""Gain and offset errors of the bench's own instruments, drawn once for each of them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sim_instruments.world import streams
from sim_instruments.world.contracts import InstrumentErrors

_FILE = Path(__file__).with_name("errors_of_instruments.toml")
_LIMITS = ("source_gain", "source_offset", "read_gain", "read_offset")
SIGMAS = 3.0  # what a data sheet promises, in standard deviations


@cache
def table() -> dict[str, dict[str, Any]]:
    """errors_of_instruments.toml: driver -> its limits and their source."""
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def draw(instruments: Mapping[str, Mapping[str, Any]], sample_seed: int) -> dict[str, InstrumentErrors]:
    """Errors by instrument name, from sample_seed and the name only. Boxes without a table have none."""
    found = {}
    for name, entry in instruments.items():
        limits = table().get(str(entry.get("driver")))
        if limits is None:
            continue
        random = np.random.default_rng(streams.sequence(sample_seed, f"instrument:{name}"))
        drawn = np.clip(random.standard_normal(len(_LIMITS)) / SIGMAS, -1.0, 1.0)
        wrong = {key: float(limits[key] * each) for key, each in zip(_LIMITS, drawn, strict=True)}
        found[name] = InstrumentErrors(
            1 + wrong["source_gain"], wrong["source_offset"], 1 + wrong["read_gain"], wrong["read_offset"]
        )
    return found
