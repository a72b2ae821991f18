"""Runs on simulated benches that are attacked at the k-th exchange with any instrument."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from drivers._link import Link
from hilab.bench import Bench, open_bench
from hilab.engine import Engine, abort_on_signal
from hilab.engine.notices import Notice, Rows, RunEnded
from hilab.engine.outcome import RunFailedError
from hilab.store.reader import load_run

Means = Literal["abort", "ctrl-c", "interrupt", "error"]
"""abort: a request from another thread. ctrl-c: SIGINT to the main thread, taken as
the command line takes it. interrupt, error:
KeyboardInterrupt or ZeroDivisionError out of the exchange itself, in the protocol's thread."""

SAFE_S = 3.0
STEPS = "hilab-"  # how the protocol's thread is called, with the protocol's name


@dataclass
class Attack:
    """What happens at which exchange; counts them from `arm` on."""

    at: int = 0
    means: Means = "error"
    engine: Engine | None = None
    seen: int = 0
    struck_s: float | None = None
    protocol: str = ""
    bench: Bench | None = None
    live: bool = False  # whether anything was on when it struck

    def __call__(self, kind: str, payload: bytes) -> None:
        self.seen += 1
        if self.seen != self.at:
            return
        in_steps = threading.current_thread().name == f"{STEPS}{self.protocol}"
        if self.means in ("interrupt", "error") and not in_steps:
            return
        self.struck_s = time.monotonic()
        self.live = self.bench is not None and _energised(self.bench)
        if self.means == "abort":
            assert self.engine is not None
            self.engine.abort()
        elif self.means == "ctrl-c":
            os.kill(os.getpid(), signal.SIGINT)
        elif self.means == "interrupt":
            raise KeyboardInterrupt
        else:
            raise ZeroDivisionError("struck")


@dataclass
class Aftermath:
    """How an attacked run ended. path: its run file; ended: what subscribers were told last."""

    seconds: float
    exchanges: int
    struck: bool
    live: bool
    ended: RunEnded | None
    path: Path | None
    raised: BaseException | None
    told: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)


def _energised(bench: Bench) -> bool:
    world: Any = bench._twin.world  # type: ignore[union-attr]
    return world.field._target_a != 0 or any(level.connected for level in world._levels.values())


def on_in_the_world(bench: Bench) -> list[str]:
    """Everything of the simulated bench that is not safe, in words; the truth, not what drivers say."""
    twin: Any = bench._twin
    world = twin.world
    world.advance(bench.clock.now())
    found = [
        f"{name} holds {level.value:g}, output {'on' if level.connected else 'off'}"
        for name, level in world._levels.items()
        if level.connected or level.value != 0
    ]
    found += [f"{name} drives {world.source_state(name)[1]:g} A" for name in world._levels
              if world.source_state(name)[1] != 0]  # fmt: skip
    if world.field._target_a != 0:
        found.append(f"the coil heads for {world.field._target_a:g} A")
    found += [f"relay {name} is closed" for name in world.wiring.closed]
    return found + world.faults


def strike(bench: Bench, attack: Attack, protocol: str, params: Mapping[str, Any], out: Path) -> Aftermath:
    """One run with one attack."""
    told: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    endings: list[RunEnded] = []
    paths: list[Path] = []

    def listen(notice: Notice) -> None:
        if isinstance(notice, Rows):
            told[notice.stream].append(notice.columns)
        elif isinstance(notice, RunEnded):
            endings.append(notice)
        elif hasattr(notice, "path"):
            paths.append(notice.path)

    raised: BaseException | None = None
    attack.protocol, attack.seen, attack.struck_s, attack.live, attack.bench = protocol, 0, None, False, bench
    engine = attack.engine = Engine(protocol, bench, params, out=out, subscribers=[listen])
    try:
        with abort_on_signal(engine):
            engine.run()
    except (RunFailedError, KeyboardInterrupt) as error:
        raised = error
    now = time.monotonic()
    return Aftermath(
        now - (attack.struck_s or now),
        attack.seen,
        attack.struck_s is not None,
        attack.live,
        endings[0] if endings else None,
        paths[0] if paths else None,
        raised,
        dict(told),
    )


def check(bench: Bench, attack: Attack, after: Aftermath) -> None:
    """What must hold after any attack."""
    where = f"{attack.means} at exchange {attack.at} of {after.exchanges}"
    assert on_in_the_world(bench) == [], where
    assert after.seconds < SAFE_S, where
    if after.ended is None or after.path is None:
        # Struck before the run began: nothing was started, nothing was left.
        assert isinstance(after.raised, KeyboardInterrupt), where
        return
    assert after.ended.safe_reports, where
    assert all(report.verified for report in after.ended.safe_reports), (where, after.ended.safe_reports)
    expected = (
        {"done"} if not after.struck else {"failed"} if attack.means == "error" else {"aborted", "done"}
    )
    assert after.ended.status in expected, (where, after.ended)
    run = load_run(after.path)
    assert (run.status, run.verified_safe) == (after.ended.status, True), where
    for stream, blocks in after.told.items():
        for column in blocks[0]:
            heard = np.concatenate([np.asarray(block[column]) for block in blocks])
            assert np.array_equal(run.streams[stream][column][: len(heard)], heard,
                                  equal_nan=heard.dtype.kind == "f"), (where, stream, column)  # fmt: skip


@pytest.fixture
def attack(monkeypatch: pytest.MonkeyPatch) -> Attack:
    """Listens to every exchange of every link from now on, those of spare sessions too."""
    made = Attack()
    monkeypatch.setattr(Link, "hook", property(lambda link: made, lambda link, hook: None), raising=False)
    return made


@pytest.fixture
def strike_and_check(attack: Attack, tmp_path: Path) -> Callable[..., Aftermath]:
    """strike_and_check(bench name, protocol, params, at, means) on a fresh bench; the aftermath."""

    def once(name: str, protocol: str, params: Mapping[str, Any], at: int, means: Means) -> Aftermath:
        attack.at, attack.means, attack.protocol = 0, means, ""
        with open_bench(name, seed=at, overrides={"simulation.setting": "ideal"}) as bench:
            attack.at = at
            after = strike(bench, attack, protocol, params, tmp_path / "runs")
            check(bench, attack, after)
            assert not list((tmp_path / "runs").glob("*.part"))
            return after

    return once
