"""The arms of the training study, as plain data (device-model section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Place = Literal["software", "devices"]
Hidden = Literal["stochastic", "sigmoid", "binary"]


@dataclass(frozen=True)
class ArmSpec:
    """How one arm trains and is tested.

    hidden: kind of hidden neurons (sigmoid and binary are deterministic and run in software only).
    starts_from: the arm whose trained network it takes over ("" for fresh weights). train_on: where it
    trains, "" for no training of its own (transfer). forward, backward: calibrations while training, forward
    also for the test; backward "straight-through" is no curve at all. test_on: where it is tested. epochs: 0
    takes the study's number. varied: software neurons whose curves deviate, redrawn in every mini-batch with
    the spread that the design expects of its devices.
    """

    name: str
    title: str
    hidden: Hidden = "stochastic"
    starts_from: str = ""
    train_on: Place | Literal[""] = "software"
    forward: str = "ideal"
    backward: str = "ideal"
    test_on: Place = "software"
    epochs: int = 0
    varied: bool = False

    @property
    def uses_devices(self) -> bool:
        return "devices" in (self.train_on, self.test_on)

    @property
    def needs_measured(self) -> bool:
        """Does it rest on measured curves, so that calibration frames count in its budget?"""
        return bool({"per-width", "per-device"} & {self.forward, self.backward})


def _transfer(name: str, title: str, forward: str) -> ArmSpec:
    return ArmSpec(name, title, starts_from="software", train_on="", forward=forward, test_on="devices")


def _in_loop(name: str, title: str, forward: str, backward: str) -> ArmSpec:
    return ArmSpec(name, title, train_on="devices", forward=forward, backward=backward, test_on="devices")


ARMS: dict[str, ArmSpec] = {
    arm.name: arm
    for arm in (
        ArmSpec("deterministic_sigmoid", "deterministic, sigmoid", hidden="sigmoid"),
        ArmSpec("deterministic_binary", "deterministic, binary straight-through", hidden="binary"),
        ArmSpec("software", "software stochastic"),
        _transfer("transfer_uncalibrated", "transfer, uncalibrated", "nominal"),
        _transfer("transfer_calibrated", "transfer, calibrated", "per-device"),
        ArmSpec(
            "variation_aware",
            "variation-aware training, then transfer",
            forward="nominal",
            backward="nominal",
            test_on="devices",
            varied=True,
        ),
        _in_loop("hil_straight_through", "HIL, straight-through", "nominal", "straight-through"),
        _in_loop("hil_nominal", "HIL, nominal backward", "nominal", "nominal"),
        _in_loop("hil_calibrated_backward", "HIL, calibrated backward", "nominal", "per-device"),
        _in_loop("hil_calibrated_forward", "HIL, calibrated forward", "per-device", "per-device"),
        ArmSpec(
            "hil_fine_tuned",
            "HIL, one epoch from the software network",
            starts_from="software",
            train_on="devices",
            forward="per-device",
            backward="per-device",
            test_on="devices",
            epochs=1,
        ),
    )
}


def in_order(names: tuple[str, ...]) -> tuple[ArmSpec, ...]:
    """These arms, each after the arm it starts from. Raises ValueError for an unknown name."""
    unknown = [name for name in names if name not in ARMS]
    if unknown:
        raise ValueError(f"unknown arm {', '.join(unknown)}: choose from {', '.join(ARMS)}")
    chosen: dict[str, ArmSpec] = {}
    for name in names:
        arm = ARMS[name]
        if arm.starts_from:
            chosen.setdefault(arm.starts_from, ARMS[arm.starts_from])
        chosen.setdefault(name, arm)
    return tuple(chosen.values())
