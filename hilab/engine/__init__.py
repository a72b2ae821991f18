"""Runs protocols: steps, pause, abort, safe state, recording, checkpoints, dry run and resume."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hilab.engine.messages import Checkpoint, Column, Message, Progress, Reading, Result

if TYPE_CHECKING:
    from hilab.engine.outcome import RunFailedError
    from hilab.engine.planning import PlanningBench, dry_run
    from hilab.engine.protocol import Protocol, ProtocolParams
    from hilab.engine.resuming import resume
    from hilab.engine.runner import Engine, run
    from hilab.engine.signals import abort_on_signal

__all__ = [
    "Checkpoint",
    "Column",
    "Engine",
    "Message",
    "PlanningBench",
    "Progress",
    "Protocol",
    "ProtocolParams",
    "Reading",
    "Result",
    "RunFailedError",
    "abort_on_signal",
    "dry_run",
    "resume",
    "run",
]

_HOMES = {
    "Engine": "runner",
    "run": "runner",
    "PlanningBench": "planning",
    "dry_run": "planning",
    "Protocol": "protocol",
    "ProtocolParams": "protocol",
    "RunFailedError": "outcome",
    "abort_on_signal": "signals",
    "resume": "resuming",
}


def __getattr__(name: str) -> Any:
    """Imported when first asked for: HDF5 and pydantic are slow to load."""
    if name in _HOMES:
        return getattr(import_module(f"hilab.engine.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'hilab.engine' has no attribute {name!r}")
