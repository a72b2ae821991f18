"""hil_training beyond one static layer: deeper networks, drift on purpose, many samples of few images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hilab
from hilab.errors import UsageError

SMALL = {
    "images": 300,
    "test_images": 100,
    "epochs": 1,
    "batch_size": 25,
    "epoch_test_images": 0,
    "trials": 30,
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HILAB_HOME", str(tmp_path / "home"))


def train(folder: Path, params: Mapping[str, Any], bench: str = "sot_fast", **simulation: Any) -> Any:
    overrides = {f"simulation.{key}": value for key, value in {"setting": "ideal", **simulation}.items()}
    with hilab.open_bench(bench, seed=3, overrides=overrides) as opened:
        return hilab.run("hil_training", opened, {**SMALL, **params}, out=folder, seed=3), opened


def test_both_hidden_layers_are_fired_and_kept(tmp_path: Path) -> None:
    params = {"devices": ["w2_d1", "w2_d2"], "hidden": [12, 8], "arms": ["hil_calibrated_backward"]}
    run, _ = train(tmp_path, params)
    arm = run.results["arms"]["hil_calibrated_backward"]
    assert arm["training_frames"] == 300 * (12 + 8)
    assert arm["test_frames"] == 100 * (12 + 8)
    packed = run.streams["bits"]["packed"]
    assert packed.shape == (12, 63)  # 25 images, 20 neurons, eight bits to a byte
    fired = np.unpackbits(packed, axis=1)[:, : 25 * 12].mean()
    assert 0.2 < fired < 0.8


def test_many_samples_of_few_images(tmp_path: Path) -> None:
    params = {"devices": ["w2_d1"], "hidden": 10, "samples": 5, "sample_images": 20, "arms": ["software"]}
    run, _ = train(tmp_path, params)
    arm = run.results["arms"]["software"]
    assert (arm["samples"], arm["sample_images"]) == (5, 20)
    finals = run.streams["accuracy"]
    assert list(finals["images"]) == [100, 20]
    assert list(finals["samples"]) == [1, 5]


def test_a_drift_on_purpose_moves_what_was_calibrated(tmp_path: Path) -> None:
    """Two logistic units against the pulses: a neuron at z = 0 then fires with P about 0.1 instead of 0.5."""
    params = {"devices": ["w2_d1"], "hidden": 20, "arms": ["transfer_calibrated"], "drift_field_t": -0.29e-3}
    still, _ = train(tmp_path, {**params, "drift_field_t": 0.0})
    moved, bench = train(tmp_path, params)
    assert bench.file.field is not None
    curves = {run.path: run.results["calibration"]["devices"]["w2_d1"]["i50_a"] for run in (still, moved)}
    assert np.ptp(list(curves.values())) == 0  # the same calibration: the field came after it
    assert moved.results["field_t"] == pytest.approx(-0.29e-3, abs=6e-5)
    assert "field_t" not in still.results


def test_a_drift_without_a_coil_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="drift_field_t"):
        train(tmp_path, {"arms": ["software"], "drift_field_t": 1e-3})


def test_every_arm_runs_and_counts_its_frames(tmp_path: Path) -> None:
    from hilab.learning.arms import ARMS

    devices = ["w2_d1", "w2_d2"]
    run, _ = train(tmp_path, {"devices": devices, "hidden": 10, "epochs": 2, "arms": list(ARMS)})
    arms = run.results["arms"]
    assert list(arms) == list(ARMS)
    expected = {name: 300 * 10 * (arm.epochs or 2) for name, arm in ARMS.items() if arm.train_on == "devices"}
    assert {name: arm["training_frames"] for name, arm in arms.items() if arm["training_frames"]} == expected
    assert {name for name, arm in arms.items() if arm["calibration_frames"]} == {
        name for name, arm in ARMS.items() if arm.needs_measured
    }
