"""A run's streams as CSV, netCDF or pictures, for other programs."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hilab.errors import RunFileError, UsageError
from hilab.store.names import writable_directory
from hilab.store.reader import Run, Stream, load_run

CSV_ROWS = 10_000


def export(
    run: Run | str | os.PathLike[str], to: str, directory: str | os.PathLike[str] | None = None
) -> list[Path]:
    """Write the run as "csv" or "png" (one file a stream) or "netcdf" (one file); return the paths.

    Files lie beside the run file unless a directory is named, and begin with its name. An export of the
    same run replaces the earlier one. Raises UsageError for another format, RunFileError if it cannot write.
    """
    loaded = run if isinstance(run, Run) else load_run(run)
    writers: dict[str, Callable[[Run, Path], list[Path]]] = {"csv": _csv, "netcdf": _netcdf, "png": _png}
    if to not in writers:
        raise UsageError(f"cannot export to {to!r}; choose csv, netcdf or png")
    place = writable_directory(directory or loaded.path.parent)
    try:
        return writers[to](loaded, place)
    except OSError as error:
        raise RunFileError(f"cannot export {loaded.path.name} into {place}: {error}") from error


def _csv(run: Run, place: Path) -> list[Path]:
    written = []
    for name, stream in run.streams.items():
        path = place / f"{run.path.stem}_{name}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file)
            columns = _flat_columns(stream)
            lines.writerow(columns)
            for start in range(0, stream.rows, CSV_ROWS):
                block = [_csv_values(values[start : start + CSV_ROWS]) for values in columns.values()]
                lines.writerows(zip(*block, strict=True))
        written.append(path)
    return written


def _flat_columns(stream: Stream) -> dict[str, NDArray[Any]]:
    """Column heads with their units; a vector column becomes one column for each element."""
    flat: dict[str, NDArray[Any]] = {}
    for name, values in stream.items():
        unit = f" ({stream.units[name]})" if stream.units[name] else ""
        if values.ndim == 1:
            flat[f"{name}{unit}"] = values
        else:
            flat.update({f"{name}_{i}{unit}": values[:, i] for i in range(values.shape[1])})
    return flat


def _csv_values(values: NDArray[Any]) -> list[Any]:
    if values.dtype.kind == "S":
        return [_not_a_formula(text) for text in np.char.decode(values, "utf-8", "replace").tolist()]
    return list(values.tolist())


def _not_a_formula(text: str) -> str:
    """Text that a spreadsheet would run as a formula is marked as text."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _netcdf(run: Run, place: Path) -> list[Path]:
    path = place / f"{run.path.stem}.nc"
    run.to_xarray().to_netcdf(path, engine="h5netcdf")
    return [path]


def _png(run: Run, place: Path) -> list[Path]:
    from hilab.store.pictures import draw_stream

    written = []
    for name, stream in run.streams.items():
        path = place / f"{run.path.stem}_{name}.png"
        if draw_stream(run, stream, path):
            written.append(path)
    return written
