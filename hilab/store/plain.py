"""Plain values for JSON, and the versions of the software."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """value with numpy scalars and arrays as numbers and lists, tuples as lists, keys as text."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def strict_json(value: Any, **options: Any) -> str:
    """JSON that every reader accepts: numbers that are not finite become null."""

    def finite(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: finite(part) for key, part in item.items()}
        if isinstance(item, list):
            return [finite(part) for part in item]
        return None if isinstance(item, float) and not math.isfinite(item) else item

    return json.dumps(finite(plain(value)), allow_nan=False, **options)


def software_versions() -> dict[str, str]:
    """Versions of what a run depends on, as installed."""
    names = ("hilab", "numpy", "scipy", "h5py", "pymeasure", "pyvisa", "torch", "numba", "lupa")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
