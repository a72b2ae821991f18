"""Every protocol can be planned on every embedded bench, with what it costs."""

from __future__ import annotations

from typing import Any

import pytest

from hilab import plugins

SMALL = {
    "bias_variation": {"draws": 2, "images": 200, "test_images": 20, "epochs": 1, "hidden": 4},
    "hil_training": {"images": 200, "test_images": 20, "epochs": 1, "hidden": 4, "epoch_test_images": 0},
    "hysteresis_field": {"points": 5},
    "device_survey": {"loop_points": 5},
    "pulse_width_dependence": {"widths_s": "[1e-4,1e-3]", "points": 5, "trials": 20, "rounds": 1},
}
WITHOUT_PULSES = {"contact_check", "hysteresis_field"}


@pytest.mark.parametrize("bench", ["sot_fast", "sot_classic"])
@pytest.mark.parametrize("protocol", plugins.names(plugins.PROTOCOLS))
def test_a_dry_run_reports_what_the_run_costs(protocol: str, bench: str, hilab: Any, twin: Any) -> None:
    settings = {"devices": "[w2_d1,w4_d1,w16_d1]", **SMALL.get(protocol, {})}
    arguments = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    found = hilab("run", protocol, "--bench", bench, "--dry-run", "--json", *arguments)
    assert found.code == 0, found.err
    document = found.document
    assert document["bench_time_s"] > 0
    assert sum(document["rows"].values()) > 0
    if protocol in WITHOUT_PULSES:
        assert not document["pulses"]
    else:
        assert document["frames"] > 0
        assert set(document["pulses"]) == {"w2_d1", "w4_d1", "w16_d1"}
        assert all(sum(counts) > 0 for counts in document["pulses"].values())
    assert not twin.live()
