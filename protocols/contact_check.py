"""Contacts before any pulse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from hilab.engine.messages import Column, Message, Progress, Reading, Result
from hilab.engine.protocol import Protocol, ProtocolParams
from protocols._common import check_reads, chosen_devices, device_column, read_currents

if TYPE_CHECKING:
    from hilab.bench import Bench


class ContactCheckParams(ProtocolParams):
    """What contact_check can be told."""

    devices: list[str] = Field([], description="devices to check; all when empty")
    current_a: float | None = Field(
        None, gt=0, le=1e-2, description="probe current; a tenth of the device's read limit when not given"
    )
    arm_current_a: float = Field(
        1e-6, gt=0, le=1e-4, description="current through the Hall arms (continuity)"
    )
    integration_s: float = Field(0.02, gt=0, le=1, description="integration of one reading")
    tap_distance_m: float = Field(20e-6, gt=0, le=1, description="distance of the longitudinal taps")
    tolerance: float = Field(
        0.3, gt=0, lt=1, description="accepted relative deviation of the four-wire resistance from nominal"
    )
    contact_max_ohm: float = Field(
        2e3, gt=0, description="largest accepted resistance of both contacts together"
    )
    arm_max_ohm: float = Field(1e5, gt=0, description="largest accepted resistance of the Hall arms")


CONTACT_READ_FRACTION = 0.1  # of the device's read limit


@dataclass(frozen=True)
class Contacts:
    """What the check found on one device; nan where this bench cannot measure it."""

    r_two_wire_ohm: float
    r_four_wire_ohm: float
    r_transverse_ohm: float
    misalignment_m: float
    r_arm_ohm: float
    verdict: str


class ContactCheck(Protocol[ContactCheckParams]):
    """Two- and four-wire resistance, Hall-arm continuity and misalignment, at low current.

    No pulse is played. The two-wire resistance needs a source that measures its own voltage (a
    source-meter), the arm continuity one that can force a current through the Hall arms; on a bench
    without them these columns are nan, and an open Hall arm shows as an overload of the reader.
    """

    name: ClassVar[str] = "contact_check"
    Params = ContactCheckParams

    def streams(self) -> Mapping[str, Mapping[str, Column]]:
        ohm = Column("f8", "ohm")
        return {
            "contacts": {
                "device": Column("S32"),
                "r_two_wire_ohm": ohm,
                "r_four_wire_ohm": ohm,
                "r_transverse_ohm": ohm,
                "misalignment_m": Column("f8", "m"),
                "r_arm_ohm": ohm,
                "verdict": Column("S64"),
            }
        }

    def check(self, bench: Bench) -> None:
        devices = chosen_devices(bench, self.params.devices)
        check_reads(
            bench, devices, read_currents(bench, devices, self.params.current_a, CONTACT_READ_FRACTION)
        )

    def steps(self, bench: Bench) -> Iterator[Message]:
        devices = chosen_devices(bench, self.params.devices)
        verdicts = {}
        for number, device in enumerate(devices):
            found = check_device(bench, device, self.params)
            verdicts[device] = found.verdict
            columns = {key: [value] for key, value in vars(found).items() if key != "verdict"}
            yield Reading(
                "contacts",
                {
                    "device": device_column([device]),
                    **columns,
                    "verdict": np.array([found.verdict.encode()], dtype="S64"),
                },
            )
            yield Progress(number + 1, len(devices), f"{device}: {found.verdict}")
        bad = {name: verdict for name, verdict in verdicts.items() if verdict != "ok"}
        yield Result({"devices": len(devices), "ok": len(devices) - len(bad), "not_ok": bad})


def check_device(bench: Bench, device: str, params: ContactCheckParams) -> Contacts:
    """All contact measurements on one device."""
    card = bench.devices[device]
    current_a = params.current_a or CONTACT_READ_FRACTION * card.limits.read_max_a
    along = bench.read_port(device, "longitudinal", current_a, integration_s=params.integration_s)
    across = bench.read_port(device, "hall", current_a, integration_s=params.integration_s)
    r_two = np.nan if along.source_v is None else along.source_v / current_a
    r_four = along.voltage_v / current_a
    sheet_ohm = r_four * card.width_m / params.tap_distance_m
    r_arm = arm_resistance(bench, device, params)
    found = Contacts(
        r_two,
        r_four,
        across.voltage_v / current_a,
        across.voltage_v / current_a / sheet_ohm * card.width_m,
        r_arm,
        "",
    )
    reason = judge(found, card.r_ohm * params.tap_distance_m / card.length_m, card.r_ohm, params)
    if along.compliance:
        reason = "current line open (compliance)"
    elif across.overload:
        reason = "Hall arms open or reader overloaded"
    return Contacts(**{**vars(found), "verdict": reason or "ok"})


def arm_resistance(bench: Bench, device: str, params: ContactCheckParams) -> float:
    """Resistance between the Hall arms, measured on the arms themselves; nan without an arm source."""
    if not bench.has_role("arm_source"):
        return float("nan")
    bench.route(device, "hall")
    arm = bench.role("arm_source")
    try:
        arm.set_arm_a(params.arm_current_a)
        return float(arm.arm_voltage_v() / params.arm_current_a)
    finally:
        arm.arm_off()


def judge(found: Contacts, tap_ohm: float, line_ohm: float, params: ContactCheckParams) -> str:
    """The first thing that is wrong, or ''."""
    if not abs(found.r_four_wire_ohm / tap_ohm - 1) < params.tolerance:
        return f"four-wire {found.r_four_wire_ohm:.4g} ohm, expected {tap_ohm:.4g}"
    if found.r_two_wire_ohm > line_ohm * (1 + params.tolerance) + params.contact_max_ohm:
        return f"two-wire {found.r_two_wire_ohm:.4g} ohm, contacts poor"
    if found.r_arm_ohm > params.arm_max_ohm:
        return f"Hall arms {found.r_arm_ohm:.3g} ohm, open"
    return ""
