"""The Hall bars' parameters: read from hall_bar.toml, then drawn for each device."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sim_instruments.world import streams

SETTINGS = ("ideal", "default", "hard")
REFERENCE_WIDTH_M = 16e-6
_FILE = Path(__file__).with_name("hall_bar.toml")


@cache
def table() -> dict[str, dict[str, Any]]:
    """hall_bar.toml: name -> its value or values, unit and source."""
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def physics(setting: str, options: Mapping[str, Any] | None = None) -> dict[str, float]:
    """Every parameter by name for a setting, with the user's own numbers in place of ours.

    ValueError names an unknown setting or parameter, or a value that is no number.
    """
    if setting not in SETTINGS:
        raise ValueError(f"simulation setting {setting!r} is none of {', '.join(SETTINGS)}")
    found = {name: float(row["value"] if "value" in row else row[setting]) for name, row in table().items()}
    for name, value in (options or {}).items():
        if name not in found:
            raise ValueError(f"simulation.device: the Hall bar has no parameter {name!r}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise ValueError(f"simulation.device.{name} must be a number, got {value!r}")
        found[name] = float(value)
    return found


def nucleation_field_t(p: Mapping[str, float], width_m: float) -> float:
    """Hn(w)."""
    return p["hn_t"] / (1 + p["hn_shrinks"] * p["hn_width_m"] / width_m)


def torque_efficiency(p: Mapping[str, float], in_plane_t: float) -> float:
    """f(Hx): odd, 1 far above h_dmi_t."""
    return in_plane_t / float(np.hypot(in_plane_t, p["h_dmi_t"]))


@dataclass(frozen=True)
class Drawn:
    """One device as it was made. tesla_per_ampere is chi f/w at full efficiency (f = 1)."""

    width_m: float
    delta: float
    hn_t: float
    tesla_per_ampere: float
    r_xx_ohm: float
    r_contact_ohm: float
    r_arm_ohm: float
    r_tap_ohm: float
    tap_ohm: float
    leak_ohm: float
    r_ahe_ohm: float
    offset_v: float
    reversed_part: float
    failure: float
    intermediate: float
    floor: float
    ceiling: float


def draw(
    p: Mapping[str, float], name: str, width_m: float, length_m: float, sample_seed: int, shape: bool
) -> Drawn:
    """Draw a device: depends on sample_seed and name only, with the same draws in every setting."""
    random = np.random.default_rng(streams.sequence(sample_seed, f"chip:{name}"))
    normal, uniform = np.clip(random.standard_normal(8), -3.5, 3.5), random.random(12)
    spread = float(np.hypot(p["ic0_spread"], p["ic0_spread_edge_m"] / width_m))
    hn = nucleation_field_t(p, width_m)
    sheet, squares = p["sheet_ohm"], p["arm_squares"]
    sign = 1.0 if uniform[0] < 0.5 else -1.0
    return Drawn(
        width_m=width_m,
        delta=p["delta"]
        * (width_m / REFERENCE_WIDTH_M) ** p["delta_width_power"]
        * (1 + p["delta_spread"] * float(normal[1])),
        hn_t=hn,
        tesla_per_ampere=_torque(p, width_m) / (1 + spread * float(normal[0])),
        r_xx_ohm=sheet * length_m / width_m,
        r_contact_ohm=p["contact_ohm"] * float(0.5 + uniform[1]),
        r_arm_ohm=sheet * (1 + squares) * float(0.95 + 0.1 * uniform[2]),
        r_tap_ohm=sheet * squares * float(0.95 + 0.1 * uniform[3]) + sheet * p["tap_distance_m"] / width_m,
        tap_ohm=sheet * p["tap_distance_m"] / width_m,
        leak_ohm=sheet * sign * p["misalignment_m"] * float(0.5 + uniform[4]) / width_m,
        r_ahe_ohm=p["r_ahe_ohm"] * (1 + p["r_ahe_spread"] * float(normal[2])),
        offset_v=p["offset_v"] * float(normal[3]),
        reversed_part=_between(p["reversed_min"], p["reversed_max"], uniform[5]),
        failure=_log_between(p["failure_min"], p["failure_max"], uniform[6]),
        intermediate=_between(p["intermediate_min"], p["intermediate_max"], uniform[7]),
        floor=p["floor_max"] * float(uniform[8]) if shape else 0.0,
        ceiling=_between(p["ceiling_min"], 1.0, uniform[9]) if shape else 1.0,
    )


def _torque(p: Mapping[str, float], width_m: float) -> float:
    """Effective field per ampere at full efficiency, before the device's own draw."""
    reference = p["ic0_reference_width_m"]
    efficiency = torque_efficiency(p, p["ic0_reference_assist_t"])
    at_reference = nucleation_field_t(p, reference) / (p["ic0_reference_a"] * efficiency)
    return at_reference * float((reference / width_m) ** p["ic0_width_power"])


def _between(low: float, high: float, part: float) -> float:
    return low + (high - low) * float(part)


def _log_between(low: float, high: float, part: float) -> float:
    return 0.0 if low <= 0 else float(low * (high / low) ** part)
