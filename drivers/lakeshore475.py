"""Lake Shore 475 gaussmeter. Command set: bench notes 2.9."""

from __future__ import annotations

from typing import Any

from pymeasure.instruments import Instrument, SCPIMixin

from drivers._link import VisaDriver

TESLA = 2  # argument of UNIT
STANDARD_EVENT_ERRORS = {
    4: "query error",
    8: "device error",
    16: "execution error: a value out of range",
    32: "command error: an unknown command",
}


class LakeShore475(VisaDriver, SCPIMixin, Instrument):
    """Driver `lakeshore475`: field meter, in tesla, autorange."""

    model_pattern = "475"

    def __init__(self, address: Any, **kwargs: Any):
        self._configured = False
        super().__init__(address, **kwargs)

    def read_field_t(self) -> float:
        """The field at the probe (T)."""
        if not self._configured:
            self.write(f"UNIT {TESLA}")
            self.write("AUTO 1")
            self._configured = True
        return self.number("RDGFIELD?")

    def check_errors(self) -> list[str]:
        """The error bits of the standard event register; the instrument has no queue."""
        register = int(self.number("*ESR?"))
        return [text for bit, text in STANDARD_EVENT_ERRORS.items() if register & bit]

    def settings(self) -> dict[str, Any]:
        """Unit of the readings."""
        return super().settings() | {"unit": "T"}
