"""The safe state: everything off, in order, each instrument on its own, read back.

Order: sources, readers, relays (only when every source was verified off: relays are switched cold), field.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any

from hilab.errors import BenchError
from hilab.roles import SafeReport

GUARD_S = 2.0
"""After this long a driver that should have come back in 1.5 s is given up, and the next one is tried."""

OUTPUT_METHODS = ("set_bias_a", "pulse", "set_arm_a", "set_coil_a")
"""Methods that put energy into the bench; a driver with others says so by a class attribute has_output."""


class NotVerifiedOffError(BenchError):
    """Something may still be on; the command line exits with 4."""

    exit_code = 4


def refuse_unsafe(reports: Sequence[SafeReport]) -> None:
    """NotVerifiedOffError with a sentence for each instrument that is not verified off."""
    bad = [report for report in reports if not report.verified]
    if bad:
        raise NotVerifiedOffError(
            "\n".join(
                f"UNVERIFIED: {report.instrument!r} is not verified off ({report.detail}): "
                f"switch it off by hand"
                for report in bad
            )
        )


class Stage(IntEnum):
    """When an instrument's turn comes."""

    SOURCE = 0
    READER = 1
    RELAYS = 2
    FIELD = 3


_STAGE_OF_ROLE = {
    "pulse_source": Stage.SOURCE,
    "bias_source": Stage.SOURCE,
    "arm_source": Stage.SOURCE,
    "waveform_source": Stage.SOURCE,
    "reader": Stage.READER,
    "switch": Stage.RELAYS,
    "field_source": Stage.FIELD,
}


def missing_safety(driver: Any) -> str:
    """Why a driver (class or object) may not be used on a bench; '' if it may.

    Whoever can put out energy must be able to switch it off and to read back that it is off.
    """
    lacking = [method for method in ("make_safe", "verify_safe") if not hasattr(driver, method)]
    if not has_output(driver) or not lacking:
        return ""
    return f"it has an output but no {' and no '.join(lacking)}"


def has_output(driver: Any) -> bool:
    """True if the driver (class or object) can put out energy: by its methods, or because it says so."""
    return any(hasattr(driver, method) for method in OUTPUT_METHODS) or getattr(driver, "has_output", False)


def stage_of(name: str, driver: Any, roles: Mapping[str, str]) -> Stage | None:
    """The instrument's stage (the earliest of its roles); None if there is nothing to switch off."""
    mine = [stage for role, stage in _STAGE_OF_ROLE.items() if roles.get(role) == name]
    if hasattr(driver, "close_channels"):
        return min([*mine, Stage.RELAYS])
    if not has_output(driver):
        return None
    if mine:
        return min(mine)
    return Stage.FIELD if hasattr(driver, "set_coil_a") else Stage.SOURCE


def sources(drivers: Mapping[str, Any], roles: Mapping[str, str]) -> dict[str, Any]:
    """The instruments that must be off before a relay moves."""
    return {name: driver for name, driver in drivers.items() if stage_of(name, driver, roles) == Stage.SOURCE}


def unreached_source(classes: Mapping[str, Any], reached: Mapping[str, Any], roles: Mapping[str, str]) -> str:
    """Name of a source of the bench file that could not be reached; '' if all were."""
    return next((name for name in sources(classes, roles) if name not in reached), "")


def make_all_safe(
    drivers: Mapping[str, Any], roles: Mapping[str, str], *, guarded: bool, hot: str = ""
) -> tuple[SafeReport, ...]:
    """Make every instrument safe and verify it; never raises.

    guarded gives each driver a thread of its own, so that one that hangs does not keep the others waiting
    (not on a virtual clock, where nobody can hang). hot names a source that is not among the drivers and
    perhaps on.
    """
    staged = [(stage_of(name, driver, roles), name) for name, driver in drivers.items()]
    order = sorted((stage, name) for stage, name in staged if stage is not None)
    reports: list[SafeReport] = []
    for stage, name in order:
        driver = drivers[name]
        if stage == Stage.RELAYS and hot:
            report = SafeReport(name, False, f"relays left as they are: {hot} is not verified off")
        elif guarded:
            report = _in_time(name, lambda driver=driver, name=name: _make_safe(name, driver))  # type: ignore[misc]
        else:
            report = _make_safe(name, driver)
        if stage == Stage.SOURCE and not report.verified:
            hot = name
        reports.append(report)
    return tuple(reports)


def _make_safe(name: str, driver: Any) -> SafeReport:
    """One instrument; an interrupt from the keyboard only makes it try again."""
    for _ in range(2):
        try:
            return (
                _safe_relays(name, driver) if not hasattr(driver, "make_safe") else _safe_output(name, driver)
            )
        except KeyboardInterrupt:
            continue
        except Exception as error:  # noqa: BLE001 - one broken driver must not keep the next from being switched off
            return SafeReport(name, False, f"{type(error).__name__}: {error}")
    return SafeReport(name, False, "interrupted")


def _safe_output(name: str, driver: Any) -> SafeReport:
    report = driver.make_safe()
    if report.verified and hasattr(driver, "verify_safe") and not driver.verify_safe():
        return SafeReport(name, False, "was told to switch off but reads back as on")
    return SafeReport(name, report.verified, report.detail)


def _safe_relays(name: str, driver: Any) -> SafeReport:
    driver.open_all()
    closed = driver.closed_channels()
    return SafeReport(name, not closed, f"relays still closed: {', '.join(closed)}" if closed else "")


def _in_time(name: str, work: Callable[[], SafeReport]) -> SafeReport:
    done: list[SafeReport] = []
    thread = threading.Thread(target=lambda: done.append(work()), name=f"make-safe-{name}", daemon=True)
    thread.start()
    thread.join(GUARD_S)
    return done[0] if done else SafeReport(name, False, f"no answer within {GUARD_S:g} s")
