"""Going on with a run that was cut off, from its last checkpoint.

The old file is never written to again: it is kept as `<name>.crashed`, its rows up to the checkpoint are
copied through a reader into a new file of the same name, and compared. Only a simulated bench can be put
back to the moment of the checkpoint, so only there is the result what an undisturbed run would have given.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hilab.engine.messages import Column
from hilab.engine.notices import Subscriber
from hilab.engine.outcome import Caught, describe
from hilab.engine.params import find_protocol
from hilab.engine.runner import Engine
from hilab.errors import RunFileError, UsageError
from hilab.store.names import writable_directory
from hilab.store.reader import Run, load_run
from hilab.store.writer import RunInfo, RunWriter

COPY_ROWS = 100_000


@dataclass(frozen=True)
class Continuation:
    """A run to go on with: what it had when its last checkpoint was taken."""

    old: Run
    checkpoint: Mapping[str, Any]

    @property
    def restored(self) -> Mapping[str, Any]:
        """The protocol's own state."""
        state: Mapping[str, Any] = self.checkpoint["state"]
        return state

    def open(self, info: RunInfo, streams: Mapping[str, Mapping[str, Column]]) -> RunWriter:
        """The new file in the old one's place, filled up to the checkpoint; the old one if that fails."""
        path = self.old.path
        kept = _free_name(path)
        os.replace(path, kept)
        writer = None
        with Caught() as caught:
            writer = RunWriter(path.parent, replace(info, resumed_from=kept.name), streams, path=path)
            _copy(load_run(kept), writer, self.checkpoint["rows"])
            writer.event("resumed", f"from checkpoint {self.checkpoint['sequence']} of {kept.name}")
            return writer
        if writer is not None:
            writer.finish("failed", "not copied")
        path.unlink(missing_ok=True)
        os.replace(kept, path)
        why = describe(caught.error) if caught.error else ""
        raise RunFileError(f"{path} could not be copied, and is left as it was: {why}") from caught.error


def resume(
    path: str | os.PathLike[str],
    bench: Any,
    *,
    subscribers: Sequence[Subscriber] = (),
    engine_only: bool = False,
) -> Any:
    """Go on with an interrupted, aborted or failed run on a simulated bench; return the `Run`.

    bench: opened from the same bench file with the same seed; it is put back to the checkpoint. With
    engine_only the `Engine` is returned instead, to be run by the caller. Raises UsageError with one
    sentence where the run cannot be gone on with.
    """
    old = load_run(path)
    protocol_class = find_protocol(old.protocol)
    checkpoint = old.checkpoint()
    reason = _unfit(old, getattr(protocol_class, "resumable", False), checkpoint, bench)
    if reason or checkpoint is None:
        raise UsageError(f"{old.protocol} cannot go on from its last checkpoint: {reason}")
    writable_directory(old.path.parent)
    bench.restore(checkpoint["snapshot"])
    engine = Engine(
        protocol_class,
        bench,
        checkpoint["parameters"],
        out=old.path.parent,
        seed=checkpoint["seed"],
        subscribers=subscribers,
        continuing=Continuation(old, checkpoint),
    )
    return engine if engine_only else engine.run()


def _unfit(old: Run, resumable: bool, checkpoint: Mapping[str, Any] | None, bench: Any) -> str:
    """Why this run cannot be gone on with on this bench; '' if it can."""
    if old.status == "running":
        return "it is still being written"
    if old.status == "done":
        return "it is done"
    if not resumable:
        return "the protocol does not say how to go on; start it again"
    if checkpoint is None:
        return "there is no checkpoint in the file; start it again"
    if not bench.simulated:
        return "real devices cannot be put back to the moment of the checkpoint; start it again"
    if checkpoint.get("snapshot") is None:
        return "it holds no state of the simulated bench"
    if old.about.get("bench") != bench.name or old.sample != bench.sample:
        return f"it was run on bench {old.about.get('bench')!r} with sample {old.sample!r}"
    return ""


def _free_name(path: Path) -> Path:
    """<name>.crashed, or .crashed2, ... if that exists."""
    number = 1
    while (kept := path.with_name(f"{path.name}.crashed{number if number > 1 else ''}")).exists():
        number += 1
    return kept


def _copy(old: Run, writer: RunWriter, rows: Mapping[str, int]) -> None:
    """Copy the first rows of every stream, and compare what then stands in the new file."""
    for name, stream in old.streams.items():
        for start in range(0, rows[name], COPY_ROWS):
            stop = min(start + COPY_ROWS, rows[name])
            writer.append(name, {column: values[start:stop] for column, values in stream.items()})
            writer.commit()
    copied = load_run(writer.path)
    for name, stream in old.streams.items():
        for column, values in stream.items():
            if copied.streams[name][column].tobytes() != np.ascontiguousarray(values[: rows[name]]).tobytes():
                raise RunFileError(f"stream {name!r}, column {column!r} differs after copying")
