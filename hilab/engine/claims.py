"""One run at a time on one bench."""

from __future__ import annotations

import threading

from hilab.errors import UsageError

_claimed: list[object] = []
_lock = threading.Lock()


def claim(bench: object) -> None:
    """Take the bench for a run. UsageError while another run has it, or a step of it has not come back."""
    with _lock:
        if any(other is bench for other in _claimed):
            raise UsageError(
                "a run is still going on on this bench: wait for its end, or close and open the bench again"
            )
        _claimed.append(bench)


def release(bench: object) -> None:
    """Let the bench go."""
    with _lock:
        _claimed[:] = [other for other in _claimed if other is not bench]
