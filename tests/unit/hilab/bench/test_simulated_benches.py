"""The benches that come with hilab, opened on their simulated instruments: bytes and physics included."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hilab.bench import Bench, open_bench
from hilab.cli.main import run_cli
from hilab.frames import DeviceCard, FrameBatch, PlanRefused
from hilab.paths import data_dir

NAMES = ["sot_classic", "sot_fast", "sot_digitiser", "sot_smu", "sot_waveform"]


@pytest.fixture(scope="module", params=NAMES)
def bench(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HILAB_HOME", str(tmp_path_factory.mktemp("home")))
        with open_bench(request.param, overrides={"simulation.setting": "ideal"}) as opened:
            yield opened


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """The bench of this module stays open from test to test."""


def test_everybody_answers_by_name(bench: Bench) -> None:
    models = {name: who.model for name, who in bench.identify().items()}
    assert all(bench.instruments[name].model_pattern in model for name, model in models.items())
    assert len(models) == len(bench.file.instruments)


def test_the_longitudinal_resistance_is_the_sheets(bench: Bench) -> None:
    for device, card in (("w2_d1", bench.devices["w2_d1"]), ("w16_d4", bench.devices["w16_d4"])):
        reading = bench.read_port(device, "longitudinal", 0.5 * card.limits.read_max_a)
        assert reading.voltage_v / reading.current_a == pytest.approx(card.r_ohm / 2, rel=0.1)
        assert not reading.compliance
        assert not reading.overload


@pytest.mark.parametrize("name", NAMES)
def test_the_check_finds_contacts_that_are_open(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (data_dir() / "benches" / f"{name}.toml").read_text(encoding="utf-8")
    places = '["w2_d1.hall", "w4_d2.current", "w8_d1.longitudinal"]'
    path = tmp_path / "open.toml"
    path.write_text(
        text.replace("mains_hz = 50", f"mains_hz = 50\nopen_contacts = {places}"), encoding="utf-8"
    )
    assert run_cli(["bench", "check", str(path), "--json"]) == 1
    found = {row["device"]: row["verdict"] for row in json.loads(capsys.readouterr().out)["contacts"]}
    assert {device: verdict for device, verdict in found.items() if verdict != "ok"} == {
        "w2_d1": "hall taps open",
        "w4_d2": "current line open",
        "w8_d1": "longitudinal taps open",
    }


def test_the_line_is_read_where_the_source_has_a_meter(bench: Bench) -> None:
    reading = bench.read_port("w4_d2", "current", 1e-4)
    if reading.source_v is None:
        assert math.isnan(reading.voltage_v)
    else:
        assert reading.source_v / 1e-4 == pytest.approx(bench.devices["w4_d2"].r_ohm, rel=0.1)


def test_the_field_goes_where_it_is_told(bench: Bench) -> None:
    for field_t in (0.02, -0.03, 0.0):
        field = bench.set_field(field_t)
        assert field.settled
        assert field.measured_t == pytest.approx(field_t, abs=5e-5)
    bench.field_off()


def test_the_loop_opens_by_the_anomalous_hall_resistance(bench: Bench) -> None:
    resistances = []
    for field_t in (0.03, -0.03):
        bench.set_field(field_t)
        bench.set_field(0.0)
        reading = bench.read_port("w16_d1", "hall", 1e-3, reversals=2)
        resistances.append(reading.voltage_v / 1e-3)
    bench.field_off()
    assert abs(resistances[0] - resistances[1]) == pytest.approx(1.0, rel=0.25)  # R_AHE 1 ohm, sigma 5 %


def usual_width_s(card: DeviceCard) -> float:
    """The pulse width that the bench is made for."""
    assert card.nominal is not None
    return card.nominal.write_width_s


def test_pulses_of_both_signs_set_both_states(bench: Bench) -> None:
    card = bench.devices["w2_d1"]
    width_s = usual_width_s(card)
    amplitude_a = card.limits.current_max_a(width_s)
    readings = []
    for sign in (+1, -1, +1):
        bench.pulse("w2_d1", sign * amplitude_a, width_s)
        readings.append(
            bench.read_port("w2_d1", "hall", card.limits.read_max_a).voltage_v / card.limits.read_max_a
        )
    assert abs(readings[0] - readings[1]) == pytest.approx(1.0, rel=0.25)
    assert readings[2] == pytest.approx(readings[0], abs=0.1)
    positive, negative = bench.wear("w2_d1")
    assert positive >= 2
    assert negative >= 1


def test_frames_are_played_by_the_fastest_player(bench: Bench) -> None:
    card = bench.devices["w4_d1"]
    width_s = usual_width_s(card)
    strong_a = 0.85 * card.limits.current_max_a(width_s)  # what a voltage source of 10 V reaches
    signs = np.array([1, -1, 1, -1])
    batch = FrameBatch.of(
        ["w4_d1"], 0, signs * strong_a, -signs * strong_a, 0.9 * card.limits.read_max_a,
        reset_width_s=width_s, write_width_s=width_s, integration_s=20e-3,
    )  # fmt: skip
    before = bench.wear("w4_d1")
    plan = bench.plan(batch)
    others = [name for name, reason in bench.suitable_players().items() if not reason and name != plan.player]
    for name in others:
        with suppress(PlanRefused):
            assert bench.plan(batch, player=name).duration_s >= plan.duration_s
    readings = bench.play(plan)
    assert readings.clean.all()
    assert len(set(np.sign(readings.voltage_v - readings.voltage_v.mean()) * signs)) == 1
    assert np.subtract(bench.wear("w4_d1"), before).tolist() == [4, 4]


def test_everything_is_off_afterwards_and_no_relay_moved_hot(bench: Bench) -> None:
    reports = bench.make_safe()
    assert reports
    assert all(report.verified for report in reports)
    assert bench._twin.world.faults == []  # type: ignore[union-attr]  # the truth is for tests to ask


def test_a_snapshot_repeats_the_same_readings(bench: Bench) -> None:
    bench.make_safe()
    before = bench.snapshot()
    assert before is not None
    values = []
    for _ in range(3):
        bench.restore(before)
        values.append(bench.read_port("w8_d1", "hall", 1e-4))
    # The first time a driver may send more (what it remembers is its own), so the clock is elsewhere then.
    assert values[1] == values[2]
