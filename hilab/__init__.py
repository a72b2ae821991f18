"""hilab: characterise stochastic devices, and train neural networks on them, pulse by pulse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hilab.bench import open_bench as open_bench
    from hilab.engine import run as run
    from hilab.store import load_run as load_run

_LAZY = {"open_bench": "hilab.bench", "run": "hilab.engine", "load_run": "hilab.store"}

__all__ = ["load_run", "open_bench", "run"]


def __getattr__(name: str) -> Any:
    """The three calls of a script, imported when first used: `import hilab` alone costs nothing."""
    if name not in _LAZY:
        raise AttributeError(f"module 'hilab' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
