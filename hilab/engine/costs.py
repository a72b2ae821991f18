"""What a run costs the bench and its devices, and a warning where that is much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hilab.bench.accounts import Account
from hilab.engine.protocol import Protocol

LONG_S = 8 * 3600.0
"""A study that takes more bench time than this is worth a second thought."""


class RunCosts:
    """The bench's account since the run began; a resumed run has the costs up to its checkpoint on top.

    Stand-ins for a bench that keep no account have no costs.
    """

    def __init__(self, bench: Any, before: Mapping[str, Any] | None = None):
        self._account = getattr(bench, "account", None)
        self._before = Account.from_results(before or {})
        self._start = self._account() if self._account else Account()

    def results(self) -> dict[str, Any]:
        """bench_time, pulses, energy_j and plans, as `Account.results` tells them; {} without an account."""
        if self._account is None:
            return {}
        return self._before.plus(self._account().since(self._start)).results()


def long_run_warning(protocol: type[Protocol[Any]] | Protocol[Any], bench_time_s: float) -> str:
    """A sentence for a run of more than eight hours of bench time; '' for a shorter one."""
    if not bench_time_s > LONG_S:
        return ""
    said = f"{protocol.name} will take about {bench_time_s / 3600:.3g} hours of bench time"
    for name in protocol.presets:
        said += f"; the preset {name!r} takes less (--preset {name})"
    return said
