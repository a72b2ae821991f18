"""Run files: one HDF5 file a run, readable at any moment and after a kill; catalogue and export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hilab.store.catalogue import RunSummary, runs
    from hilab.store.exports import export
    from hilab.store.plain import plain, strict_json
    from hilab.store.reader import Run, Stream, load_run
    from hilab.store.state import decode_state, encode_state
    from hilab.store.writer import RunInfo, RunWriter

__all__ = [
    "Run",
    "RunInfo",
    "RunSummary",
    "RunWriter",
    "Stream",
    "decode_state",
    "encode_state",
    "export",
    "load_run",
    "plain",
    "runs",
    "strict_json",
]

_HOMES = {
    "RunSummary": "catalogue",
    "runs": "catalogue",
    "export": "exports",
    "Run": "reader",
    "Stream": "reader",
    "load_run": "reader",
    "decode_state": "state",
    "encode_state": "state",
    "RunInfo": "writer",
    "RunWriter": "writer",
    "plain": "plain",
    "strict_json": "plain",
}


def __getattr__(name: str) -> Any:
    """Each part is imported when it is first asked for: h5py and matplotlib are slow to load."""
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(f"hilab.store.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'hilab.store' has no attribute {name!r}")
