"""Rows as they are handed in, brought to the types of their stream, or refused with a sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hilab.engine.messages import Column
from hilab.errors import RunFileError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_PLAIN_KINDS = frozenset("biufcS")

Columns = dict[str, NDArray[Any]]
StreamTypes = Mapping[str, Mapping[str, tuple[np.dtype[Any], int]]]


def checked_streams(streams: Mapping[str, Mapping[str, Column]]) -> dict[str, dict[str, Column]]:
    """Streams with names and types that a run file can hold. Raises RunFileError naming the others."""
    for stream, columns in streams.items():
        if not columns:
            raise RunFileError(f"stream {stream!r} has no columns")
        for name, column in [(stream, None), *columns.items()]:
            if not _NAME.fullmatch(name):
                raise RunFileError(f"stream {stream!r}: {name!r} is not a name (letters, digits and _)")
            if column is not None:
                _check_column(stream, name, column)
    return {stream: dict(columns) for stream, columns in streams.items()}


def _check_column(stream: str, name: str, column: Column) -> None:
    try:
        dtype = np.dtype(column.dtype)
    except TypeError as error:
        raise RunFileError(f"stream {stream!r}, column {name!r}: {error}") from error
    if dtype.kind not in _PLAIN_KINDS or dtype.itemsize == 0:
        raise RunFileError(
            f"stream {stream!r}, column {name!r}: {dtype} has no fixed size; use numbers or 'S32'"
        )
    if column.length < 1:
        raise RunFileError(f"stream {stream!r}, column {name!r}: a vector has at least one element")


def column_types(streams: Mapping[str, Mapping[str, Column]]) -> StreamTypes:
    """What `checked_rows` asks for each row, looked up once: stream -> column -> (dtype, vector length)."""
    return {
        stream: {name: (np.dtype(column.dtype), column.length) for name, column in columns.items()}
        for stream, columns in streams.items()
    }


def checked_rows(stream: str, types: StreamTypes, given: Mapping[str, Any]) -> Columns:
    """One block for this stream: every column an array (rows,) or (rows, length) of its type, all copies.

    Raises RunFileError for an unknown stream, missing or unknown columns, unequal lengths and values that
    do not fit the column's type.
    """
    columns = types.get(stream)
    if columns is None:
        raise RunFileError(f"the protocol writes to stream {stream!r}, which it has not declared")
    if columns.keys() != given.keys():
        missing, unknown = sorted(columns.keys() - given.keys()), sorted(given.keys() - columns.keys())
        raise RunFileError(f"stream {stream!r}: columns missing {missing}, not declared {unknown}")
    block = {name: _converted(stream, name, kind, given[name]) for name, kind in columns.items()}
    lengths = {len(values) for values in block.values()}
    if len(lengths) > 1:
        shapes = ", ".join(f"{name} {len(values)}" for name, values in block.items())
        raise RunFileError(f"stream {stream!r}: columns of unequal length ({shapes})")
    return block


def _converted(stream: str, name: str, kind: tuple[np.dtype[Any], int], value: Any) -> NDArray[Any]:
    dtype, length = kind
    if type(value) is float and dtype == np.float64 and length == 1:
        return np.array((value,))  # by far the most frequent case of single rows
    array = np.asarray(value)
    if array.dtype != dtype:
        array = _cast(f"stream {stream!r}, column {name!r}", array, dtype)
    elif array is value or array.base is not None:
        array = array.copy()  # the protocol may fill its array again
    if array.ndim == (0 if length == 1 else 1):
        array = array[np.newaxis]
    tail = () if length == 1 else (length,)
    if array.ndim != 1 + len(tail) or array.shape[1:] != tail:
        rows = tail or "single values"
        raise RunFileError(
            f"stream {stream!r}, column {name!r}: shape {array.shape} does not fit rows of {rows}"
        )
    return array


def _cast(where: str, array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if array.dtype.kind == "U":
        array = np.char.encode(array, "utf-8")
    if (array.dtype.kind == "S") != (dtype.kind == "S"):
        raise RunFileError(f"{where}: values of type {array.dtype} do not fit {dtype}")
    if dtype.kind == "S" and array.dtype.itemsize > dtype.itemsize:
        raise RunFileError(f"{where}: text longer than {dtype.itemsize} bytes")
    try:
        with np.errstate(invalid="ignore", over="ignore"):
            cast = array.astype(dtype)
    except (TypeError, ValueError) as error:
        raise RunFileError(f"{where}: values of type {array.dtype} do not fit {dtype}") from error
    rounds = dtype.kind in "fcS" and np.can_cast(array.dtype, dtype, "same_kind")  # f8 to f4 may round
    if not rounds and not bool(np.all(cast == array)):
        raise RunFileError(f"{where}: values of type {array.dtype} do not fit {dtype} without loss")
    return cast


def fixed_text(text: str, size: int) -> bytes:
    """UTF-8 cut to size bytes, never in the middle of a character; cut text ends in an ellipsis."""
    raw = text.replace("\0", " ").encode("utf-8", "replace")
    if len(raw) <= size:
        return raw
    return raw[: size - 3].decode("utf-8", "ignore").encode() + "…".encode()
