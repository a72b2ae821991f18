"""Coverage of the fits on a few chips; tests/benchmarks/coverage_check.py does it with 640 devices."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binom

CHIPS = 4
ALARM = 1e-3


@pytest.fixture(scope="module")
def check() -> Any:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "coverage_check.py"
    spec = importlib.util.spec_from_file_location("coverage_check", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["coverage_check"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("setting", "share", "pull"), [("ideal", 0.95, 0.15), ("default", 0.9, 0.5)])
def test_intervals_cover_the_truth(
    check: Any, tmp_path: Path, setting: str, share: float, pull: float
) -> None:
    """64 devices, seeds 0 to 3: fewer covered than a binomial of `share` allows is a false alarm of 1e-3 for
    each quantity; mean pulls within `pull` plus four standard errors."""
    found = check.Found()
    for chip in range(CHIPS):
        check.survey_chip(found, chip, setting, str(tmp_path))
    devices = len(found.rows)
    assert devices == 16 * CHIPS
    fewest = binom.ppf(ALARM, devices, share)
    for name, (coverage, mean, spread) in check.report(found).items():
        assert coverage * devices >= fewest, (name, coverage)
        assert abs(mean) < pull + 4 * spread / devices**0.5, (name, mean)
    if setting == "ideal":
        observed, exact, error, _ = check.wilson_report(found)
        assert abs(observed - exact) < 3.3 * error
