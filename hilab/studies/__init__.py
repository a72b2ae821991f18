"""Published systems, reproduced: `hilab reproduce NAME`."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

from hilab.errors import UsageError
from hilab.plugins import unknown

STUDIES = {"spin-neurons": "hilab.studies.spin_neurons"}


class Study(Protocol):
    """Runs a study; returns the exit code."""

    def __call__(self, *, quick: bool, json: bool) -> int: ...


def load(name: str) -> Study:
    """The study of this name; UsageError naming the nearest for an unknown one."""
    if name not in STUDIES:
        raise UsageError(unknown("study", name, STUDIES))
    study: Study = import_module(STUDIES[name]).reproduce
    return study
