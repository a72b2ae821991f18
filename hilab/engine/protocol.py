"""The base class of every protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from hilab.engine.messages import Column, Message

if TYPE_CHECKING:
    from hilab.bench import Bench


class ProtocolParams(BaseModel):
    """Typed parameters: unknown keys are refused, every field has a description and a unit in its name.

    Numbers are finite, and true and false are no numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        wanted = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and bool not in (wanted, *get_args(wanted)):
            raise ValueError("true and false are not meant here")
        return value


ParamsT = TypeVar("ParamsT", bound=ProtocolParams)


class Protocol(Generic[ParamsT]):
    """A measurement or training procedure. Subclasses set `name`, `Params`, `streams` and `steps`.

    The docstring's first line is the one-line help, the rest is the help page. An instance serves one run.
    `seed` is the run's seed; `random(name)` gives independent named streams of it. `restored` is the
    state of the checkpoint a resumed run goes on from (None in a fresh run).
    `presets` are named sets of parameters; `real_bench_preset` names the one that is meant on a real bench
    when nobody asked for another.
    """

    name: ClassVar[str]
    Params: ClassVar[type[ProtocolParams]]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    real_bench_preset: ClassVar[str] = ""

    def __init__(self, params: ParamsT, seed: int = 0, restored: Mapping[str, Any] | None = None):
        self.params = params
        self.seed = seed
        self.restored = restored

    def random(self, name: str) -> np.random.Generator:
        """The random stream of this name: the same for the same run seed, independent of the others."""
        key = [int(byte) for byte in name.encode()]
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    def streams(self) -> Mapping[str, Mapping[str, Column]]:
        """The streams (tables) this run will write: name -> column name -> Column."""
        raise NotImplementedError

    def check(self, bench: Bench) -> None:
        """Refuse what this bench cannot or must not do, before anything is started or written.

        Called once with the opened bench; nothing may be sent to an instrument. Raises UsageError, BenchError
        or PlanRefused (as `bench.plan` does).
        """

    def expected_s(self, bench: Bench) -> float:
        """Bench time (s) that the run will take at least, as far as it can be told beforehand; else 0.

        May ask the bench for plans with prepare=False; nothing may be sent to an instrument.
        """
        return 0.0

    def steps(self, bench: Bench) -> Iterator[Message]:
        """The procedure itself."""
        raise NotImplementedError
