"""Reading run files: finished ones, ones that another process is writing, and ones left by a kill.

A reader never repairs and never writes. Every size in the file is checked against what the file really
holds before memory is taken for it.

Finished files open in other programs too; each stream is an HDF5 group, for example

    xarray.open_dataset(path, engine="h5netcdf", group="streams/switching", phony_dims="sort")
"""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hilab.errors import RunFileError
from hilab.roles import SafeReport
from hilab.store.state import decode_state
from hilab.store.swmr import SUPERBLOCK, slot_payload
from hilab.store.writer import FORMAT

if TYPE_CHECKING:
    import xarray

SILENCE_S = 60.0  # a writer that has said nothing for so long does not live

_DAMAGE = (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, IndexError)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file as h5py sees it, read only, also while it is being written; RunFileError for what is none."""
    if not path.is_file():
        raise RunFileError(f"there is no run file {path}")
    try:
        growing = _is_growing(path)
        file = h5py.File(path, "r", libver="latest", swmr=growing, locking=False)
    except (OSError, ValueError) as error:
        raise RunFileError(f"{path} is damaged or not a run file: {error}") from error
    try:
        with file:
            if file.attrs.get("hilab_run") is None:
                raise RunFileError(f"{path} is an HDF5 file, but not a run file of hilab")
            if file.attrs["hilab_run"] != FORMAT:
                raise RunFileError(
                    f"{path} has format {file.attrs['hilab_run']}; this hilab reads format {FORMAT}"
                )
            if growing and int(file["state/file_bytes"][0]) > path.stat().st_size and _is_growing(path):
                raise RunFileError(f"{path} is damaged: it was cut short")
            yield file
    except _DAMAGE as error:
        raise RunFileError(f"{path} is damaged: {error}") from error


def _is_growing(path: Path) -> bool:
    """True if the file was not closed by its writer (it lives or was killed), from the HDF5 superblock.

    Only such a file is opened in SWMR mode: there HDF5 repeats a read that fails its checksum for ages, so
    that a damaged file would seem to hang. A file that was cut short is therefore refused before.
    """
    with path.open("rb") as file:
        head = file.read(SUPERBLOCK.size)
    if len(head) < SUPERBLOCK.size:
        raise ValueError("it is too short")
    signature, version, flags, end = SUPERBLOCK.unpack(head)
    if signature != b"\x89HDF\r\n\x1a\n":
        raise ValueError("it is no HDF5 file")
    growing = version == 3 and bool(flags & 1)
    if version == 3 and not growing and path.stat().st_size < end:
        raise ValueError("it was cut short")
    return growing


class Stream(Mapping[str, NDArray[Any]]):
    """One table of readings: column name -> array (rows,) or (rows, length), read when asked for.

    units maps each column to its unit; rows is the number of valid rows when the run was loaded.
    """

    def __init__(self, path: Path, name: str, rows: int, units: Mapping[str, str]):
        self.name = name
        self.rows = rows
        self.units = dict(units)
        self._path = path
        self._read: dict[str, NDArray[Any]] = {}

    def __getitem__(self, column: str) -> NDArray[Any]:
        if column not in self.units:
            raise KeyError(f"stream {self.name!r} has no column {column!r}; it has {', '.join(self.units)}")
        if column not in self._read:
            with opened(self._path) as file:
                self._read[column] = _rows_of(file[f"streams/{self.name}/{column}"], self.rows)
        return self._read[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self.units)

    def __len__(self) -> int:
        return len(self.units)

    def __repr__(self) -> str:
        return f"<stream {self.name}: {self.rows} rows of {', '.join(self.units)}>"


@dataclass(frozen=True)
class Run:
    """One run as its file holds it.

    status is "running", "done", "failed", "aborted", or "interrupted" when the file was not closed and no
    writer lives. verified_safe is None while that is not known. bench_time_s is nan until the run ended.
    progress: done, total, wall_left_s, bench_left_s, text.
    """

    path: Path
    status: str
    reason: str
    protocol: str
    parameters: dict[str, Any]
    results: dict[str, Any]
    streams: dict[str, Stream]
    events: list[dict[str, Any]]
    log: list[dict[str, Any]]
    progress: dict[str, Any]
    bench_time_s: float
    verified_safe: bool | None
    about: dict[str, Any] = field(repr=False)
    bench_file: str = field(default="", repr=False)

    @property
    def seed(self) -> int:
        return int(self.about.get("seed", 0))

    @property
    def sample(self) -> str:
        return str(self.about.get("sample", ""))

    @property
    def started(self) -> str:
        """Local time of the start, ISO 8601 with the offset."""
        return str(self.about.get("started", ""))

    @property
    def safe_reports(self) -> tuple[SafeReport, ...]:
        """How each instrument was left at the end."""
        reports = []
        for event in self.events:
            if event["kind"] in ("safe", "not safe"):
                instrument, _, detail = event["text"].partition(":")
                reports.append(SafeReport(instrument, event["kind"] == "safe", detail.strip()))
        return tuple(reports)

    @property
    def exit_code(self) -> int:
        """For the command line: 0 done, 1 failed, 3 aborted and safe, 4 not verified safe."""
        if self.verified_safe is False:
            return 4
        return {"done": 0, "aborted": 3}.get(self.status, 1)

    def checkpoint(self) -> dict[str, Any] | None:
        """The last whole checkpoint: state, rows, seed, parameters, snapshot; None if there is none."""
        with opened(self.path) as file:
            found = _newest(file["checkpoints"])
        if found is None:
            return None
        state = decode_state(found[1])
        if not isinstance(state, dict):
            raise RunFileError(f"{self.path} is damaged: its checkpoint is no dictionary")
        return {"sequence": found[0], **state}

    def to_xarray(self) -> xarray.Dataset:
        """All streams as one dataset: variables "<stream>.<column>" over the dimension "<stream>.row"."""
        import xarray

        variables = {}
        for name, stream in self.streams.items():
            for column, values in stream.items():
                dims = (f"{name}.row", f"{name}.{column}.item")[: values.ndim]
                variables[f"{name}.{column}"] = (dims, values, {"units": stream.units[column]})
        attributes = {name: self.about.get(name, "") for name in ("sample", "operator", "note", "seed")}
        attributes |= {"protocol": self.protocol, "status": self.status, "started": self.started}
        attributes |= {"parameters": json.dumps(self.parameters), "results": json.dumps(self.results)}
        for name, value in attributes.items():  # netCDF texts end at a NUL
            attributes[name] = value.replace("\0", " ") if isinstance(value, str) else value
        return xarray.Dataset(variables, attrs=attributes)

    def __repr__(self) -> str:
        rows = ", ".join(f"{name} {stream.rows}" for name, stream in self.streams.items())
        return f"<run {self.path.name}: {self.protocol}, {self.status}, rows: {rows or 'none'}>"


def load_run(path: str | os.PathLike[str]) -> Run:
    """The run in this file as it stands now. Raises RunFileError with one sentence if it is none."""
    place = Path(path).expanduser().resolve()
    with opened(place) as file:
        about = _json(file, "about")
        counts = _counts(file)
        return Run(
            path=place,
            status=_status(file, about),
            reason=_text_cell(file, "reason"),
            protocol=str(about["protocol"]),
            parameters=dict(about["parameters"]),
            results=_results(file),
            streams=_streams(file, place, counts, about["streams"]),
            events=_records(file["events"], counts["events"]),
            log=_records(file["log"], counts["log"]),
            progress=_progress(file),
            bench_time_s=float(file["state/bench_time_s"][0]),
            verified_safe={0: False, 1: True}.get(int(file["state/verified_safe"][0])),
            about=about,
            bench_file=_text(file, "bench_file").strip(),
        )


def _status(file: Any, about: Mapping[str, Any]) -> str:
    status = _text_cell(file, "status")
    if status != "running":
        return status
    return "running" if _writer_lives(about, float(file["state/beat_unix"][0])) else "interrupted"


def _writer_lives(about: Mapping[str, Any], beat_unix: float) -> bool:
    if not abs(time.time() - beat_unix) < SILENCE_S:
        return False
    if about.get("host") != socket.gethostname() or os.name != "posix":
        return True  # only its beat can be seen from here
    try:
        os.kill(int(about["process"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _counts(file: Any) -> dict[str, int]:
    names = json.loads(file["rows"].attrs["tables"])
    counts = file["rows"][: len(names)]
    return {name: int(count) for name, count in zip(names, counts, strict=True)}


def _streams(
    file: Any, path: Path, counts: Mapping[str, int], declared: Mapping[str, Any]
) -> dict[str, Stream]:
    found = {}
    for name, columns in declared.items():
        group, rows = file[f"streams/{name}"], counts[f"streams/{name}"]
        for column in columns:
            _check_size(group[column], rows)
        found[name] = Stream(
            path, name, rows, {column: str(group[column].attrs["units"]) for column in columns}
        )
    return found


def _rows_of(dataset: Any, rows: int) -> NDArray[Any]:
    _check_size(dataset, rows)
    return np.asarray(dataset[:rows])


def _check_size(dataset: Any, rows: int) -> None:
    """A damaged file may claim any size; what counts is how many bytes are really stored."""
    row_bytes = dataset.dtype.itemsize * math.prod(dataset.shape[1:])
    if dataset.dtype.hasobject or dataset.compression is not None:
        raise ValueError(f"{dataset.name} has a type that hilab never writes")
    if not 0 <= rows <= dataset.shape[0] or rows * row_bytes > dataset.id.get_storage_size():
        raise ValueError(f"{dataset.name} claims {rows} rows, more than the file holds")


def _records(group: Any, rows: int) -> list[dict[str, Any]]:
    columns = {name: _rows_of(dataset, rows) for name, dataset in group.items()}
    return [{name: _plain(values[row]) for name, values in columns.items()} for row in range(rows)]


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value.item()


def _progress(file: Any) -> dict[str, Any]:
    done, total, wall, bench = (float(value) for value in file["state/progress"][:4])
    text = _text_cell(file, "progress_text")
    return {"done": done, "total": total, "wall_left_s": wall, "bench_left_s": bench, "text": text}


def _results(file: Any) -> dict[str, Any]:
    found = _newest(file["results"])
    return dict(json.loads(found[1])) if found else {}


def _newest(group: Any) -> tuple[int, bytes] | None:
    """The whole slot with the highest sequence number; a torn one is passed over."""
    whole = [slot_payload(_rows_of(slot, _stored(slot)).tobytes()) for slot in group.values()]
    return max((slot for slot in whole if slot is not None), default=None, key=lambda slot: slot[0])


def _stored(dataset: Any) -> int:
    return min(int(dataset.shape[0]), int(dataset.id.get_storage_size()))


def _text_cell(file: Any, name: str) -> str:
    return bytes(file[f"state/{name}"][0]).decode("utf-8", "replace")


def _text(file: Any, name: str) -> str:
    dataset = file[name]
    return _rows_of(dataset, dataset.shape[0]).tobytes().decode("utf-8", "replace")


def _json(file: Any, name: str) -> dict[str, Any]:
    value = json.loads(_text(file, name))
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no dictionary")
    return value
