"""State as bytes and back, without pickle: JSON for the structure, numpy's own format for arrays."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np

_ARRAY, _BYTES, _PAIRS = "__array__", "__bytes__", "__pairs__"


def to_bytes(value: Any) -> bytes:
    """Encode nested dicts and lists of numbers, strings, bytes, None and numpy arrays.

    Tuples come back as lists. TypeError names a value that is not plain.
    """
    arrays: list[np.ndarray] = []
    text = json.dumps(_pack(value, arrays), separators=(",", ":"))
    out = io.BytesIO()
    named = {f"a{number}": array for number, array in enumerate(arrays)}
    named["document"] = np.frombuffer(text.encode(), dtype=np.uint8)
    np.savez(out, allow_pickle=False, **named)
    return out.getvalue()


def from_bytes(data: bytes) -> Any:
    """Decode what `to_bytes` made. ValueError if it is something else."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        document = json.loads(arrays["document"].tobytes())
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"not a snapshot of a simulated bench: {error}") from error
    return _unpack(document, arrays)


def _pack(value: Any, arrays: list[np.ndarray]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bytes | bytearray):
        arrays.append(np.frombuffer(bytes(value), dtype=np.uint8))
        return {_BYTES: len(arrays) - 1}
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("a snapshot holds no arrays of objects")
        arrays.append(value)
        return {_ARRAY: len(arrays) - 1}
    if isinstance(value, list | tuple):
        return [_pack(each, arrays) for each in value]
    if isinstance(value, dict):
        if all(isinstance(name, str) and not name.startswith("__") for name in value):
            return {name: _pack(each, arrays) for name, each in value.items()}
        return {_PAIRS: [[_pack(name, arrays), _pack(each, arrays)] for name, each in value.items()]}
    raise TypeError(f"a snapshot holds plain values only, got {type(value).__name__}")


def _unpack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_unpack(each, arrays) for each in value]
    if isinstance(value, dict):
        if _ARRAY in value:
            return arrays[f"a{value[_ARRAY]}"]
        if _BYTES in value:
            return arrays[f"a{value[_BYTES]}"].tobytes()
        if _PAIRS in value:
            return {_unpack(name, arrays): _unpack(each, arrays) for name, each in value[_PAIRS]}
        return {name: _unpack(each, arrays) for name, each in value.items()}
    return value
