"""Plain state as bytes and back, without pickle: a JSON header followed by the raw array bytes.

Layout: magic, length of the header (8 bytes, little endian), header (UTF-8 JSON), payload. The header
holds the tree and, for every array or bytes object, where it lies in the payload.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from hilab.errors import RunFileError

_MAGIC = b"hilabst1"
_HEAD = struct.Struct("<8sQ")
_TAG = "$"
_PLAIN_KINDS = frozenset("biufcSUmM")


def encode_state(state: Any) -> bytes:
    """Plain values (None, bool, int, float, complex, str, bytes, lists, dicts, numpy arrays) as bytes.

    Tuples come back as lists; dict keys may be str, int, float, bool or None. Raises TypeError naming the
    place of anything else (objects are never pickled).
    """
    payload: list[bytes] = []
    tree = _pack(state, "state", payload, [0])
    header = json.dumps(tree, separators=(",", ":")).encode()
    return b"".join([_HEAD.pack(_MAGIC, len(header)), header, *payload])


def decode_state(data: bytes) -> Any:
    """What `encode_state` was given. Raises RunFileError if the bytes are damaged."""
    try:
        magic, length = _HEAD.unpack_from(data)
        start = _HEAD.size + length
        if magic != _MAGIC or start > len(data):
            raise ValueError("not a state of hilab, or cut short")
        tree = json.loads(data[_HEAD.size : start])
        return _unpack(tree, memoryview(data)[start:])
    except (ValueError, KeyError, TypeError, IndexError, struct.error, RecursionError) as error:
        raise RunFileError(f"the stored state is damaged: {error}") from error


def _pack(value: Any, where: str, payload: list[bytes], size: list[int]) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, complex):
        return {_TAG: "complex", "parts": [value.real, value.imag]}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {_TAG: "bytes", **_store(bytes(value), payload, size)}
    if isinstance(value, (np.ndarray, np.generic)):
        return _pack_array(value, where, payload, size)
    if isinstance(value, (list, tuple)):
        return [_pack(item, f"{where}[{i}]", payload, size) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        return _pack_mapping(value, where, payload, size)
    raise TypeError(f"{where} is a {type(value).__name__}, which a checkpoint cannot hold")


def _pack_array(value: Any, where: str, payload: list[bytes], size: list[int]) -> dict[str, Any]:
    if value.dtype.kind not in _PLAIN_KINDS:
        raise TypeError(f"{where} is an array of {value.dtype}, which a checkpoint cannot hold")
    kind = "array" if isinstance(value, np.ndarray) else "scalar"
    place = _store(value.tobytes(), payload, size)
    return {_TAG: kind, "dtype": value.dtype.str, "shape": list(value.shape), **place}


def _pack_mapping(value: Mapping[Any, Any], where: str, payload: list[bytes], size: list[int]) -> Any:
    for key in value:
        if not (key is None or isinstance(key, (str, int, float))):
            raise TypeError(f"{where} has a key of type {type(key).__name__}; use text or numbers")
    items = [(key, _pack(item, f"{where}[{key!r}]", payload, size)) for key, item in value.items()]
    if _TAG not in value and all(isinstance(key, str) for key in value):
        return dict(items)
    return {_TAG: "dict", "items": [list(pair) for pair in items]}


def _store(raw: bytes, payload: list[bytes], size: list[int]) -> dict[str, int]:
    payload.append(raw)
    start, size[0] = size[0], size[0] + len(raw)
    return {"start": start, "bytes": len(raw)}


def _unpack(node: Any, payload: memoryview) -> Any:
    if isinstance(node, list):
        return [_unpack(item, payload) for item in node]
    if not isinstance(node, dict):
        return node
    kind = node.get(_TAG)
    if kind is None:
        return {key: _unpack(item, payload) for key, item in node.items()}
    if kind == "dict":
        return {key: _unpack(item, payload) for key, item in node["items"]}
    if kind == "complex":
        return complex(*node["parts"])
    raw = _fetch(node, payload)
    if kind == "bytes":
        return bytes(raw)
    if kind in ("array", "scalar"):
        return _unpack_array(node, raw)
    raise ValueError(f"unknown kind {kind!r}")


def _fetch(node: dict[str, Any], payload: memoryview) -> memoryview:
    start, length = node["start"], node["bytes"]
    if not (
        isinstance(start, int) and isinstance(length, int) and 0 <= start <= start + length <= len(payload)
    ):
        raise ValueError("an array lies outside the file")
    return payload[start : start + length]


def _unpack_array(node: dict[str, Any], raw: memoryview) -> Any:
    dtype = np.dtype(str(node["dtype"]))
    shape = tuple(int(length) for length in node["shape"])
    if dtype.kind not in _PLAIN_KINDS or min(shape, default=0) < 0:
        raise ValueError("an array of a kind that is never written")
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError("an array's shape does not fit its bytes")
    # numpy refuses to view an empty buffer, and a zero-width text has no items to count
    array = np.frombuffer(raw, dtype).reshape(shape).copy() if len(raw) else np.zeros(shape, dtype)
    return array if node[_TAG] == "array" else array[()]
