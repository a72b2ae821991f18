"""What a generator of 50 ohm needs to be a current source: the load that its voltage goes into."""

from __future__ import annotations

from hilab.errors import BenchError

OUTPUT_OHM = 50.0


class KnownLoad:
    """Resistance that a source of `OUTPUT_OHM` drives: device line, contacts and shunt.

    Currents (A) become open-circuit volts and back; both are refused while nobody has said what the load is.
    """

    def __init__(self, name: str, open_max_v: float):
        self._name = name
        self.open_max_v = open_max_v
        self.ohm: float | None = None
        self.limit_a = 0.0
        self.limit_v = open_max_v

    def set_ohm(self, ohm: float) -> None:
        """The load (ohm), without the source's own 50 ohm. BenchError unless it is a positive number."""
        if not 0 < ohm < float("inf"):
            raise BenchError(f"{self._name}: a load of {ohm:g} ohm is none; measure the line first")
        self.ohm = float(ohm)

    def total_ohm(self) -> float:
        """Load and output resistance in series (ohm). BenchError before `set_ohm`."""
        if self.ohm is None:
            raise BenchError(
                f"{self._name} sources a voltage: the current depends on the load, which is not known; "
                "route a device or call set_load_ohm first"
            )
        return self.ohm + OUTPUT_OHM

    def set_limits(self, current_max_a: float, compliance_v: float) -> None:
        """Largest current (A), and the largest voltage across the load (V), that any output may reach."""
        if not 0 < compliance_v <= self.open_max_v:
            raise BenchError(
                f"{self._name}: a limit of {compliance_v:g} V is outside 0 to {self.open_max_v:g} V"
            )
        self.limit_a, self.limit_v = abs(current_max_a), compliance_v

    def emf_v(self, current_a: float) -> float:
        """Open-circuit volts that drive current_a through the load. BenchError beyond the limits in force."""
        emf_v = current_a * self.total_ohm()
        self.check_emf(emf_v)
        return emf_v

    def check_emf(self, emf_v: float) -> None:
        """BenchError if this open-circuit voltage exceeds the box or the limits in force."""
        total_ohm = self.total_ohm()
        current_a = abs(emf_v) / total_ohm
        if not current_a <= self.limit_a * (1 + 1e-9):
            raise BenchError(
                f"{self._name}: {current_a:g} A is above the limit of {self.limit_a:g} A in force; "
                "configure the source for this device first"
            )
        if not abs(emf_v) <= self.open_max_v * (1 + 1e-9):
            raise BenchError(
                f"{self._name}: {current_a:g} A through {total_ohm:g} ohm takes {abs(emf_v):g} V, and it "
                f"gives {self.open_max_v:g} V at most"
            )
        across_v = current_a * (total_ohm - OUTPUT_OHM)
        if not across_v <= self.limit_v * (1 + 1e-9):
            raise BenchError(
                f"{self._name}: {across_v:g} V across the load is above the limit of {self.limit_v:g} V"
            )
