"""What a run costs stands in its file; presets; a warning before a long study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import hilab
from hilab.engine import dry_run
from hilab.engine.costs import LONG_S, long_run_warning
from hilab.engine.params import checked_params, find_protocol, with_preset
from hilab.errors import UsageError

PARAMS = {"devices": ["w2_d1", "w16_d1"], "trials": 10, "rounds": 1}
HIL = find_protocol("hil_training")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> hilab.store.Run:
    with hilab.open_bench("sot_fast", seed=2) as bench:
        return hilab.run("switching_probability", bench, PARAMS, seed=2, out=tmp_path_factory.mktemp("runs"))


def test_the_kinds_of_bench_time_add_up_to_the_runs_time(run: hilab.store.Run) -> None:
    spent = run.results["bench_time"]
    assert sum(spent.values()) == pytest.approx(run.bench_time_s, rel=0.02)
    assert spent["play"] > 0.9 * run.bench_time_s
    assert min(spent[kind] for kind in ("upload", "arm", "fetch", "relays")) > 0


def test_pulses_by_polarity_are_those_of_the_frames(run: hilab.store.Run) -> None:
    frames = run.streams["frames"]
    for name in PARAMS["devices"]:
        mine = frames["device"] == name.encode()
        counted = run.results["pulses"][name]
        assert counted == {"positive": int(mine.sum()), "negative": int(mine.sum())}


def test_energy_is_that_of_the_actual_pulses(run: hilab.store.Run) -> None:
    frames = run.streams["frames"]
    for name, r_ohm in (("w2_d1", 8000.0), ("w16_d1", 1000.0)):
        mine = frames["device"] == name.encode()
        squares = frames["write_actual_a"][mine] ** 2 + frames["reset_actual_a"][mine] ** 2
        expected = float(np.sum(squares)) * 100e-6 * r_ohm
        assert run.results["energy_j"][name] == pytest.approx(expected, rel=1e-6)


def test_asked_and_actual_amplitudes_and_times_stand_in_the_file(run: hilab.store.Run) -> None:
    frames = run.streams["frames"]
    off_a = np.abs(frames["write_actual_a"] - frames["write_a"])
    (plan,) = run.results["plans"]
    assert 0 < off_a.max() <= plan["quantisation_a"] * (1 + 1e-9)
    assert plan["player"] == "keithley2636b_tsp"
    assert plan["frames"] == frames.rows
    assert plan["requested"]["integration_s"] == plan["actual"]["integration_s"] == 2e-3
    assert "times faster than software_loop" in plan["notes"][-1]
    assert any(event["kind"] == "plan" for event in run.events)


def test_a_dry_run_predicts_the_same_kinds(run: hilab.store.Run) -> None:
    with hilab.open_bench("sot_fast", seed=2) as bench:
        planned = hilab.run("switching_probability", bench, PARAMS, seed=2, dry_run=True)
    assert planned["pulses"].keys() == run.results["pulses"].keys()
    for kind in ("upload", "play", "fetch", "relays"):
        assert planned["bench_time"][kind] == pytest.approx(run.results["bench_time"][kind], rel=0.25)
    assert planned["energy_j"]["w2_d1"] == pytest.approx(run.results["energy_j"]["w2_d1"], rel=0.5)
    assert planned["warnings"] == []


def test_a_run_can_be_played_by_another_player(tmp_path: Path) -> None:
    with hilab.open_bench("sot_fast") as bench:
        params = {"devices": ["w2_d1"], "amplitudes_a": [4e-4, 5e-4], "trials": 2, "rounds": 1}
        planned = hilab.run("switching_probability", bench, params, player="software_loop", dry_run=True)
        assert set(planned["players"]) == {"software_loop"}
        assert bench.player is None
        with pytest.raises(UsageError, match="cannot play on this bench"):
            hilab.run("switching_probability", bench, params, player="keithley6221_list", out=tmp_path)
        assert not list(tmp_path.glob("*.h5"))


# ---- presets -----------------------------------------------------------------------------------------


def test_the_laboratory_preset_is_one_epoch_from_the_software_network() -> None:
    params = checked_params(HIL.Params, with_preset(HIL, {}, "laboratory", simulated=True))
    protocol = HIL(params)
    assert params.arms == ["software", "hil_fine_tuned"]
    assert 0.9e6 < protocol._device_frames() < 1.3e6


def test_settings_go_on_top_of_a_preset() -> None:
    values = with_preset(HIL, {"images": 500}, "laboratory", simulated=True)
    assert values["images"] == 500 and values["test_images"] == 1000


def test_a_real_bench_gets_it_unasked_and_can_do_without() -> None:
    assert "hil_fine_tuned" in with_preset(HIL, {}, None, simulated=False)["arms"]
    assert with_preset(HIL, {}, None, simulated=True) == {}
    assert with_preset(HIL, {}, "none", simulated=False) == {}


def test_an_unknown_preset_is_refused_in_one_sentence() -> None:
    with pytest.raises(UsageError, match="no preset 'laborotory', did you mean 'laboratory'"):
        with_preset(HIL, {}, "laborotory", simulated=True)
    survey = find_protocol("device_survey")
    with pytest.raises(UsageError, match="device_survey has no preset 'laboratory'"):
        with_preset(survey, {}, "laboratory", simulated=True)


# ---- long studies ------------------------------------------------------------------------------------


def test_a_study_of_more_than_eight_hours_is_warned_of_and_the_preset_offered() -> None:
    assert long_run_warning(HIL, LONG_S) == ""
    said = long_run_warning(HIL, 2 * LONG_S)
    assert said.startswith("hil_training will take about 16 hours of bench time")
    assert "--preset laboratory" in said


def test_the_time_of_a_study_is_known_before_it_starts() -> None:
    with hilab.open_bench("sot_fast") as bench:
        full, laboratory = (
            HIL(checked_params(HIL.Params, with_preset(HIL, {"devices": ["w2_d1"]}, name, simulated=True)))
            for name in ("none", "laboratory")
        )
        plain_s, short_s = full.expected_s(bench), laboratory.expected_s(bench)
    assert plain_s / full._device_frames() == pytest.approx(2.5e-3, rel=0.05)  # one frame of the TSP player
    assert long_run_warning(full, plain_s) and not long_run_warning(laboratory, short_s)


def test_a_dry_run_of_a_long_protocol_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hilab.engine.costs.LONG_S", 1.0)
    protocol = find_protocol("switching_probability")
    with hilab.open_bench("sot_fast") as bench:
        planned = dry_run(protocol(checked_params(protocol.Params, PARAMS)), bench)
    assert planned["warnings"] and "hours of bench time" in planned["warnings"][0]
