"""Surrogate neurons, the vectorised shortcut around the instruments, have the same statistics as these."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

import hilab
from hilab.learning.neurons import BenchNeurons, SurrogateNeurons
from hilab.learning.surrogate import Surrogate
from protocols._calibration import CalibrationParams, calibrate

DEVICES = ("w2_d1", "w4_d3", "w8_d2", "w16_d4")
Z = np.array([-3.0, -1.0, 0.0, 0.7, 1.5])
SAMPLES = 600
ALARM = 1e-3


def calibrated(bench: Any) -> Any:
    """The calibration's return value, run without an engine."""
    steps = calibrate(bench, DEVICES, CalibrationParams(trials=40), np.random.default_rng(0))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_devices_through_the_bytes_and_surrogates_switch_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 points, family-wise false alarm 1e-3, seed 11; a shift of 0.3 logistic units at one device would be
    seen: its five points differ by up to 0.075, or 3.7 standard errors each."""
    monkeypatch.setenv("HILAB_HOME", str(tmp_path))
    with hilab.open_bench("sot_fast", seed=11, overrides={"simulation.setting": "ideal"}) as bench:
        bench.stop = threading.Event()
        readout = calibrated(bench).readout
        truth = bench._twin.world.truth
        i50 = np.array([float(truth[name].i50_a(100e-6)) for name in DEVICES])
        delta = np.array([truth[name].delta for name in DEVICES])
        ic0 = np.array([float(truth[name].ic0_a()) for name in DEVICES])
        width_m = [bench.devices[name].width_m for name in DEVICES]
        true = Surrogate(DEVICES, np.array(width_m), i50, ic0 / (1.52 * delta))
        device = np.tile(np.repeat(np.arange(4), len(Z)), SAMPLES)
        z = np.tile(np.tile(Z, 4), SAMPLES)
        current_a = i50[device] + z * true.unit_a[device]
        random = np.random.default_rng(11)
        order = random.permutation(len(device))
        k = {}
        for name, neurons in (
            ("bytes", BenchNeurons(bench, DEVICES, readout)),
            ("shortcut", SurrogateNeurons(true, random)),
        ):
            fired = np.empty(len(device))
            fired[order] = neurons.fire(device[order], current_a[order])
            k[name] = fired.reshape(SAMPLES, 20).sum(axis=0)
    pooled = (k["bytes"] + k["shortcut"]) / (2 * SAMPLES)
    z_score = (k["bytes"] - k["shortcut"]) / np.sqrt(2 * SAMPLES * pooled * (1 - pooled))
    assert np.abs(z_score).max() < norm.isf(ALARM / 20 / 2)
    assert ((pooled > 0) & (pooled < 1)).all()
