"""Every protocol through the bytes of the simulated bench, against the simulator's truth."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hilab
from protocols._locate import FRAMES_TO_LOCATE

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("HILAB_HOME", str(folder))
        yield folder


@pytest.fixture
def bench(home: Path) -> Iterator[Any]:
    with hilab.open_bench("sot_fast", seed=3, overrides={"simulation.setting": "ideal"}) as opened:
        yield opened


def truth(bench: Any, device: str) -> Any:
    return bench._twin.world.truth[device]


def test_contacts_find_an_open_line_an_open_arm_and_a_dead_device(home: Path, tmp_path: Path) -> None:
    faults = {"simulation.open_contacts": ["w2_d1.hall", "w4_d1.current"], "simulation.dead": ["w8_d1"]}
    with hilab.open_bench("sot_fast", seed=3, overrides=faults) as bench:
        devices = ["w2_d1", "w4_d1", "w8_d1", "w16_d1"]
        run = hilab.run("contact_check", bench, {"devices": devices}, out=tmp_path)
    assert set(run.results["not_ok"]) == {"w2_d1", "w4_d1", "w8_d1"}
    assert "current line open" in run.results["not_ok"]["w4_d1"]
    assert run.streams["contacts"]["r_four_wire_ohm"][3] == pytest.approx(500, rel=0.05)


def test_field_loop_gives_the_coercive_field_of_the_law(bench: Any, tmp_path: Path) -> None:
    params = {"devices": ["w16_d1"], "points": 81, "field_max_t": 0.016}
    run = hilab.run("hysteresis_field", bench, params, out=tmp_path)
    loop = run.results["field_loop"]["w16_d1"]
    # Half a point of the sweep, and seconds a point instead of one: 5 %.
    assert loop["coercive_t"] == pytest.approx(0.63 * float(truth(bench, "w16_d1").hn_t()), rel=0.06)
    assert loop["opening_ohm"] == pytest.approx(truth(bench, "w16_d1").r_ahe_ohm, rel=0.03)


def test_current_loop_switches_at_i50(bench: Any, tmp_path: Path) -> None:
    run = hilab.run("hysteresis_current", bench, {"devices": ["w4_d1"], "points": 61}, out=tmp_path)
    loop = run.results["current_loop"]["w4_d1"]
    assert loop["coercive_a"] == pytest.approx(float(truth(bench, "w4_d1").i50_a(100e-6)), rel=0.06)


def test_a_loop_goes_far_enough_where_the_source_is_the_limit(home: Path, tmp_path: Path) -> None:
    """Of 16 um the 10 V of the waveform bench allow little more than I50."""
    with hilab.open_bench("sot_waveform", seed=2) as opened:
        run = hilab.run("hysteresis_current", opened, {"devices": ["w16_d1"]}, out=tmp_path)
    assert run.results["current_loop"]["w16_d1"]["coercive_a"] == pytest.approx(6.4e-3, rel=0.1)


def test_turning_the_assist_magnet_inverts_the_loop(home: Path, tmp_path: Path) -> None:
    openings = {}
    for assist_t in (0.05, -0.05):
        overrides = {"simulation.setting": "ideal", "field.assist_t": assist_t}
        with hilab.open_bench("sot_fast", seed=3, overrides=overrides) as bench:
            run = hilab.run("hysteresis_current", bench, {"devices": ["w8_d1"]}, out=tmp_path)
        openings[assist_t] = run.results["current_loop"]["w8_d1"]["opening_ohm"]
    assert openings[0.05] == pytest.approx(-openings[-0.05], rel=0.05)
    assert abs(openings[0.05]) > 0.8


def test_without_assist_field_nothing_switches_deterministically(home: Path, tmp_path: Path) -> None:
    overrides = {"simulation.setting": "ideal", "field.assist_t": 0.0}
    with (
        hilab.open_bench("sot_fast", seed=3, overrides=overrides) as bench,
        pytest.raises(hilab.errors.HilabError, match="only one state was seen"),
    ):
        hilab.run("switching_probability", bench, {"devices": ["w8_d1"]}, out=tmp_path)


def test_switching_probability_covers_the_truth(bench: Any, tmp_path: Path) -> None:
    """Four devices, four sigma: false alarm 3e-4."""
    devices = ["w2_d2", "w4_d2", "w8_d2", "w16_d2"]
    run = hilab.run("switching_probability", bench, {"devices": devices, "trials": 60}, out=tmp_path)
    for name in devices:
        fit = run.results["devices"][name]
        true = float(truth(bench, name).i50_a(100e-6))
        assert abs(fit["i50_a"] - true) < 4 * fit["i50_error_a"], name
    switching = run.streams["switching"]
    assert switching["n"].sum() + switching["failed_resets"].sum() == 4 * 21 * 60
    assert switching.units["amplitude_a"] == "A"
    assert len(run.streams["frames"]["voltage_v"]) == 4 * (FRAMES_TO_LOCATE + 21 * 60)


def test_asked_amplitudes_are_the_ones_measured(bench: Any, tmp_path: Path) -> None:
    asked = [0.5e-3, 0.55e-3, 0.6e-3]
    params = {"devices": ["w2_d1"], "trials": 10, "rounds": 2, "amplitudes_a": asked}
    run = hilab.run("switching_probability", bench, params, out=tmp_path)
    assert run.streams["switching"]["amplitude_a"].tolist() == asked


def test_reset_scan_picks_a_reset_below_back_switching(bench: Any, tmp_path: Path) -> None:
    run = hilab.run("reset_scan", bench, {"devices": ["w8_d1"]}, out=tmp_path)
    i50 = float(truth(bench, "w8_d1").i50_a(100e-6, polarity=-1))
    assert 1.05 * i50 < -run.results["reset_a"]["w8_d1"] < 1.5 * i50


def test_pulse_widths_give_the_barrier_twice(bench: Any, tmp_path: Path) -> None:
    """Both ways to Delta within four standard errors of the truth (false alarm 1.3e-4 each)."""
    params = {"devices": ["w4_d1"], "widths_s": [100e-6, 1e-3], "trials": 100, "points": 15}
    run = hilab.run("pulse_width_dependence", bench, params, out=tmp_path)
    line = run.results["all_widths"]["w4_d1"]["line"]
    true = truth(bench, "w4_d1").delta
    assert abs(line["delta"] - true) < 4 * line["delta_se"]
    for figures in run.results["by_width"].values():
        assert abs(figures["w4_d1"]["delta"] - true) < 4 * figures["w4_d1"]["delta_error"]


def test_survey_tells_spread_and_trends(bench: Any, tmp_path: Path) -> None:
    params = {"trials": 40, "rounds": 2, "points": 13, "loop_points": 25}
    run = hilab.run("device_survey", bench, params, out=tmp_path)
    assert [row["holds"] for row in run.results["trends"]] == [True, True, True]
    sigma = run.results["spread"]["i50_a"][0]
    assert sigma["sigma_low"] / sigma["sigma"] == pytest.approx(0.57, abs=0.01)
    assert sigma["sigma_high"] / sigma["sigma"] == pytest.approx(3.73, abs=0.02)


def test_bias_error_hurts_narrow_devices_more(bench: Any, tmp_path: Path) -> None:
    devices = [f"w{width}_d{number}" for width in (2, 4, 16) for number in (1, 2, 3, 4)]
    params = {
        "devices": devices,
        "kinds": ["absolute"],
        "absolute_a": [44e-6],
        "draws": 3,
        "images": 2000,
        "epochs": 2,
        "test_images": 200,
        "trials": 40,
        "points": 13,
        "through_bench": False,
    }
    run = hilab.run("bias_variation", bench, params, out=tmp_path)
    lost = {row["width_m"]: row["lost_points"] for row in run.results["table"]}
    assert lost[2e-6] > lost[16e-6] + 5
    assert run.results["trends"]["absolute"]["holds"]


def test_training_through_the_bytes_learns_and_counts(bench: Any, tmp_path: Path) -> None:
    params = {
        "devices": ["w2_d1", "w2_d2", "w2_d3", "w2_d4"],
        "arms": ["software", "transfer_calibrated", "hil_calibrated_backward"],
        "images": 1000,
        "epochs": 2,
        "batch_size": 20,
        "learning_rate": 5e-3,
        "hidden": 40,
        "test_images": 300,
        "epoch_test_images": 100,
        "trials": 30,
        "points": 13,
        "checkpoint_steps": 20,
    }
    run = hilab.run("hil_training", bench, params, out=tmp_path, seed=1)
    arms = run.results["arms"]
    assert arms["hil_calibrated_backward"]["training_frames"] == 40 * 2 * (1000 + 100)
    assert arms["hil_calibrated_backward"]["test_frames"] == 40 * 300
    assert arms["software"]["training_frames"] == 0
    assert arms["hil_calibrated_backward"]["accuracy"] > 0.5  # ten classes: chance is 0.1
    bits = run.streams["bits"]["packed"]
    assert bits.shape == (100, 100) and 0 < np.unpackbits(bits[-1]).mean() < 1
    checkpoint = run.checkpoint()
    assert checkpoint is not None and checkpoint["state"]["arm"] == "hil_calibrated_backward"


def test_tutorial_runs(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["tutorial", str(tmp_path)])
    runpy.run_path(str(ROOT / "docs/tutorials/first_characterisation.py"), run_name="__main__")
    told = capsys.readouterr().out
    assert "I50 =" in told and "w16_d1" in told
