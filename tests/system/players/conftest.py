"""Benches in process, and a stop that comes after some bench time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from hilab.bench import Bench, open_bench

BENCHES = Path(__file__).parents[3] / "data" / "benches"


@contextmanager
def stopped_after(bench: Bench, seconds: float) -> Iterator[None]:
    """Sets bench.stop when so much bench time has passed, from a thread of its own."""
    begun = threading.Event()

    def wait_and_stop() -> None:
        with bench.clock.registered():
            begun.set()
            bench.clock.sleep(seconds)
            bench.stop.set()
            bench.clock.wake()

    with bench.clock.registered():
        thread = threading.Thread(target=wait_and_stop)
        thread.start()
        begun.wait()
        yield
        with bench.clock.blocked():
            thread.join()


@pytest.fixture
def stopping() -> Callable[..., AbstractContextManager[None]]:
    return stopped_after


@pytest.fixture
def open_named() -> Iterator[Callable[..., Bench]]:
    """Opens sot_classic or sot_fast, simulated in process, and closes it."""
    opened: list[Bench] = []

    def open_it(name: str, seed: int = 1, **overrides: object) -> Bench:
        settings = {"simulation.setting": "ideal"} | {
            key.replace("__", "."): value for key, value in overrides.items()
        }
        opened.append(open_bench(BENCHES / f"{name}.toml", seed=seed, overrides=settings))
        return opened[-1]

    yield open_it
    for bench in opened:
        bench.close()
