"""The training study without its trainings: jobs, ledger, bounds and what is concluded from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hilab.studies import training_study as study
from hilab.studies.study_figure import draw

SOFTWARE = 0.9


def result(job: study.Job, lost: dict[str, float]) -> dict[str, Any]:
    """A result whose arms lose so many points, a little more with every seed."""
    arms = {}
    for arm in job.params["arms"]:
        accuracy = SOFTWARE - (lost.get(arm, 0.0) + 0.01 * job.seed) / 100 * (arm != "software")
        arms[arm] = {
            "title": arm, "accuracy": accuracy, "accuracy_mean": accuracy, "samples": 1, "sample_images": 0,
            "training_frames": 100, "test_frames": 10, "calibration_frames": 0,
            "training_bench_time_s": 1.0, "test_bench_time_s": 0.1,
        }  # fmt: skip
    return {"world": job.world, "devices": job.devices, "seed": job.seed, "arms": arms}


def test_jobs_are_every_seed_world_and_set_and_the_software_arms_come_once_a_seed() -> None:
    jobs = study.jobs_of("sot_waveform", range(2), {"images": 10}, "out")
    assert len({(job.world, job.devices, job.seed) for job in jobs}) == len(jobs) == 2 * 3 * 3
    with_software = [job for job in jobs if "deterministic_sigmoid" in job.params["arms"]]
    assert [job.seed for job in with_software] == [0, 1]
    assert all(set(study.DEVICE_ARMS) <= set(job.params["arms"]) for job in jobs)


def test_results_in_the_ledger_are_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = study.jobs_of("sot_waveform", range(2), {}, "out", worlds=("static",), sets=("2 um",))
    ledger = tmp_path / "study.jsonl"
    lines = [json.dumps({"job": study._key(job), "result": result(job, {})}) for job in jobs]
    ledger.write_text("\n".join([*lines, lines[0][:40]]), encoding="utf-8")  # a crash cut the last line
    monkeypatch.setattr(study, "train_one", lambda job: pytest.fail("measured again"))
    found = study.train_all(jobs, ledger, lambda done, one: pytest.fail("told again"))
    assert [one["seed"] for one in found] == [0, 1]
    other = study.jobs_of("sot_waveform", [0], {"images": 1}, "out", worlds=("static",), sets=("2 um",))
    assert study._key(other[0]) not in study._read(ledger)


@pytest.mark.parametrize(("points", "holds"), [(0.5, True), (0.79, False), (2.0, False)])
def test_a_bar_holds_by_its_bound_not_by_its_mean(points: float, holds: bool) -> None:
    jobs = study.jobs_of("b", range(4), {}, "out", worlds=("static",), sets=("2 um",))
    losses = study.loss_table([result(job, {"hil_calibrated_backward": points}) for job in jobs])
    entry = next(one for one in losses if one["arm"] == "hil_calibrated_backward")
    assert entry["mean"] == pytest.approx(points + 0.015)
    rows = {row["claim"]: row["holds"] for row in study.training_rows(losses)}
    assert rows[next(claim for claim in rows if "hil_calibrated_backward" in claim)] is holds


def test_only_a_bound_is_a_verdict_against_calibrated_transfer(tmp_path: Path) -> None:
    jobs = study.jobs_of("b", range(3), {}, "out", worlds=("shape",), sets=("16 um",), software_arms=())
    lost = {"transfer_calibrated": 2.0, "hil_fine_tuned": 1.0, "hil_calibrated_backward": 3.0}
    losses = study.loss_table([result(job, lost) for job in jobs])
    said = " ".join(study.plain_words(losses))
    assert "one HIL epoch on top of the software network beats calibrated transfer: +1.00" in said
    assert "HIL (calibrated backward) does not beat calibrated transfer: -1.00" in said
    assert any(row["holds"] and "more than 0.5" in row["claim"] for row in study.training_rows(losses))
    draw(losses, tmp_path / "study.png")
    assert (tmp_path / "study.png").stat().st_size > 10_000
