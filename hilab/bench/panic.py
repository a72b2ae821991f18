"""Everything off, with no run and as few conditions as possible; whoever fails does not spare the others."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hilab import paths
from hilab.bench.check import read_bench_file
from hilab.bench.clock import WallClock
from hilab.bench.opening import connect, driver_classes, lock_addresses, open_twin, recognise
from hilab.bench.safety import make_all_safe, stage_of, unreached_source
from hilab.bench.station import close_quietly
from hilab.errors import HilabError
from hilab.roles import Clock, SafeReport


def make_bench_safe(path: str | Path, *, force: bool = False) -> tuple[SafeReport, ...]:
    """Make every output of the bench safe and verify it.

    force: even if another process holds the instruments' addresses. An instrument that cannot be reached, or
    answers as somebody else, is reported as not verified.
    """
    file = read_bench_file(paths.find_bench(path))
    with ExitStack() as undo:
        if not force:
            lock_addresses(file, undo)
        twin = open_twin(file, 0, undo)
        clock: Clock = twin.clock if twin else WallClock()
        drivers: dict[str, Any] = {}
        lost: list[SafeReport] = []
        classes = driver_classes(file)
        for name, driver_class in classes.items():
            if stage_of(name, driver_class, file.roles) is None:
                continue
            try:
                driver = connect(name, driver_class, file, clock, twin)
                undo.callback(close_quietly, name, driver)
                recognise(name, driver, file, twin)
            except HilabError as error:
                lost.append(SafeReport(name, False, str(error)))
            else:
                drivers[name] = driver
        hot = unreached_source(classes, drivers, file.roles)
        return (*make_all_safe(drivers, file.roles, guarded=twin is None, hot=hot), *lost)
