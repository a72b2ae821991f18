"""What every player is held to, on every bench that can host it: cases, one play for each, and the checks.

Cases are discovered: every registered player on every bench file of data/benches, none is listed. A case's
pulse width and integration are the first of WIDTHS_S and INTEGRATIONS_S that the player plans. Each case is
played once (`measured`); what that play must show are functions `check_...`, which the tests of broken
players call as well.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers._link import Link
from hilab import plugins
from hilab.bench import Bench, open_bench
from hilab.frames import SPENT, FrameBatch, FramePlan, FrameReadings, PlanRefused

BENCHES = Path(__file__).parents[4] / "data" / "benches"
WIDTHS_S = (100e-6, 1e-3, 4.5e-3, 25e-3)
INTEGRATIONS_S = (2e-3, 200e-6, 100e-6, 50e-6)
NAMES = ("w4_d1", "w4_d2")
FRAMES = 10_000  # of a case whose player needs less than one message a frame
SLOW_FRAMES = 2_300  # of a player that needs more, on all its benches together
ANCHORS = 0.05  # share of frames that surely switch, and of those that surely do not
P = (0.55, 0.7, 0.85)  # where a frame tells most of a shift
FALSE_ALARM = 1e-3  # of the whole family of comparisons
RESET, SURE, NEVER = -1.4, 1.35, 0.3  # of I50
SHIFT_UNITS = 0.3


@dataclass(frozen=True)
class Case:
    """A player on a bench."""

    player: str
    bench: str

    def __str__(self) -> str:
        return f"{self.player}-{self.bench}"


@cache
def cases() -> tuple[Case, ...]:
    """Every registered player on every bench file that can host it."""
    found = []
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HILAB_HOME", home)
        for path in sorted(BENCHES.glob("*.toml")):
            with open_bench(path, overrides={"simulation.setting": "ideal"}) as bench:
                found += [
                    Case(name, path.stem)
                    for name in plugins.names(plugins.PLAYERS)
                    if not plugins.load(plugins.PLAYERS, name).unsuitable(bench)
                ]
    return tuple(found)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases(), ids=str)


# ---- what is played ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """What a case's frames look like: width (s), integration (s), and messages that one frame costs."""

    width_s: float
    integration_s: float
    messages_a_frame: float

    @property
    def slow(self) -> bool:
        return self.messages_a_frame > 1


def opened(case: Case, seed: int = 1, **overrides: Any) -> Bench:
    """The case's bench in the ideal setting; overrides by their dotted name with __ for the dots."""
    settings = {"simulation.setting": "ideal"} | {k.replace("__", "."): v for k, v in overrides.items()}
    return open_bench(BENCHES / f"{case.bench}.toml", seed=seed, overrides=settings)


def truth(bench: Bench, device: str = NAMES[0]) -> Any:
    return bench._twin.world.truth[device]  # type: ignore[union-attr]


def frames_of(bench: Bench, recipe: Recipe, of_i50: np.ndarray, device: Any = 0, **times: Any) -> FrameBatch:
    """Frames with writes given as parts of I50 at the recipe's width, read well below switching."""
    i50_a = np.array([float(truth(bench, name).i50_a(recipe.width_s)) for name in NAMES])
    index = np.broadcast_to(np.asarray(device, dtype=np.int64), of_i50.shape)
    settings = {
        "reset_width_s": recipe.width_s,
        "write_width_s": recipe.width_s,
        "integration_s": recipe.integration_s,
    }
    return FrameBatch.of(
        NAMES,
        index,
        of_i50 * i50_a[index],
        RESET * i50_a[index],
        0.7 * bench.devices[NAMES[0]].limits.read_max_a,
        **(settings | times),
    )


@cache
def recipe_of(case: Case) -> Recipe:
    """The first width and integration that the player plans, and its messages for a frame."""
    with opened(case) as bench:
        refused: tuple[str, ...] = ()
        for width_s, integration_s in itertools.product(WIDTHS_S, INTEGRATIONS_S):
            recipe = Recipe(width_s, integration_s, 0.0)
            try:
                few, many = (
                    bench.plan(frames_of(bench, recipe, np.full(n, SURE)), case.player) for n in (4, 12)
                )
            except PlanRefused as error:
                refused = error.reasons
                continue
            with counted_messages() as messages:
                bench.play(few)
                first = messages.count
                bench.play(few)
                second = messages.count
                bench.play(many)
            more = (messages.count - second) - (second - first)
            return Recipe(width_s, integration_s, more / 8)
    raise AssertionError(f"{case} plans no width and integration at all: {refused}")


class Messages:
    """Counts every exchange with every instrument; `then` is called with the count."""

    def __init__(self) -> None:
        self.count = 0
        self.then: Callable[[int], None] = lambda count: None

    def __call__(self, kind: str, payload: bytes) -> None:
        self.count += 1
        self.then(self.count)


class counted_messages:  # noqa: N801 - used like a function
    """with counted_messages() as messages: every link tells them what it exchanges."""

    def __enter__(self) -> Messages:
        self._patch = pytest.MonkeyPatch()
        messages = Messages()
        hook = property(lambda link: messages, lambda link, value: None)
        self._patch.setattr(Link, "hook", hook, raising=False)
        return messages

    def __exit__(self, *_: object) -> None:
        self._patch.undo()


@dataclass
class Measured:
    """One play of a case, and all that is needed to judge it."""

    case: Case
    plan: FramePlan
    readings: FrameReadings
    of_i50: np.ndarray  # writes asked, in parts of I50
    p: np.ndarray  # true switching probability of each frame, at the current that it is judged by
    slope: np.ndarray  # its derivative by the amplitude in logistic units
    write_a: (
        float  # the largest write that was asked as the plan says it is made, and what reached the device
    )
    reached_a: float
    bench_s: float
    spent_s: dict[str, float]
    wear: dict[str, tuple[int, int]]
    counted: dict[str, tuple[int, int]]
    bits: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))


Change = Callable[[Any], None]
"""Makes a player into a broken one, or nothing."""


def measure(
    case: Case,
    *,
    seed: int = 3,
    frames: int | None = None,
    breaking: Change | None = None,
    **overrides: Any,
) -> Measured:
    """Play the case once, on two devices in random order."""
    recipe = recipe_of(case)
    many = frames or frames_wanted(case)
    with opened(case, seed, **overrides) as bench:
        if breaking is not None:
            player = plugins.load(plugins.PLAYERS, case.player)(bench)
            breaking(player)
            bench._playing._players[case.player] = player
        scale = _scale(bench, case, recipe)
        rng = np.random.default_rng(seed)
        steps = np.array([_current_at(bench, p, recipe.width_s) for p in P])
        of_i50 = steps[rng.integers(0, len(P), many)]
        drawn = rng.random(many)
        of_i50[drawn < ANCHORS] = SURE
        of_i50[drawn > 1 - ANCHORS] = NEVER
        device = np.where(rng.random(many) < 0.02, 1, 0)
        of_i50[device == 1] = np.where(rng.random(int(device.sum())) < 0.5, SURE, NEVER)
        batch = frames_of(bench, recipe, of_i50, device)
        plan = bench.plan(batch, case.player)
        before, account = _wear(bench), bench.account()
        begun_s = bench.clock.now()
        readings = bench.play(plan)
        bench_s = bench.clock.now() - begun_s
        spent_s = bench.account().since(account).spent_s
        after = _wear(bench)
        exact = plan.amplitude_uncertainty == 0 and not overrides
        current_a = plan.actual.write_a if exact else scale(plan.actual.write_a)
        p, slope = _true_p(bench, current_a, plan.actual.write_width_s)
        sure_a = float(plan.actual.write_a[of_i50 == SURE].max())
        found = Measured(
            case,
            plan,
            readings,
            of_i50,
            p,
            slope,
            sure_a,
            float(scale(np.array([sure_a]))[0]),
            bench_s,
            {kind: spent_s.get(kind, 0.0) for kind in SPENT},
            {name: _less(after[0][name], before[0][name]) for name in NAMES},
            {name: _less(after[1][name], before[1][name]) for name in NAMES},
        )
    found.bits = bits_of(found)
    return found


@cache
def measured(case: Case) -> Measured:
    """The case's one play, remembered for all tests."""
    return measure(case)


@cache
def measured_with_errors(case: Case) -> Measured:
    """The same with instruments as they come back from a year on the shelf."""
    return measure(case, seed=4, simulation__instrument_errors=True)


def frames_wanted(case: Case) -> int:
    """Enough for the power that is stated; a slow player's are spread over its benches."""
    recipe = recipe_of(case)
    benches = sum(other.player == case.player for other in cases())
    return -(-SLOW_FRAMES // benches) if recipe.slow else FRAMES


def bits_of(found: Measured) -> np.ndarray:
    """(N,) True where a device switched, by the middle between its own two states."""
    batch, readings = found.plan.batch, found.readings
    ohm = readings.voltage_v / readings.current_a
    bits = np.zeros(len(batch), dtype=bool)
    for number in range(len(NAMES)):
        mine = batch.device == number
        never = np.nanmedian(ohm[mine & (found.of_i50 == NEVER)])
        sure = np.nanmedian(ohm[mine & (found.of_i50 == SURE)])
        with np.errstate(invalid="ignore"):
            bits[mine] = (ohm[mine] - (never + sure) / 2) * (sure - never) > 0
    return bits


def _scale(bench: Bench, case: Case, recipe: Recipe) -> Callable[[np.ndarray], np.ndarray]:
    """Write current that reaches the device, as a straight line of the current that the plan states; from
    the largest current that the device has seen after two plays of known amplitude."""
    asked, reached = [], []
    for part in (1.0, 1.45):
        batch = frames_of(bench, recipe, np.full(4, part))
        low = np.full(4, -0.3 * part) * batch.write_a
        batch = FrameBatch.of(
            batch.devices, batch.device, batch.write_a, low, 0.5 * batch.read_a,
            reset_width_s=recipe.width_s, write_width_s=recipe.width_s, integration_s=recipe.integration_s,
        )  # fmt: skip
        plan = bench.plan(batch, case.player)
        bench.play(plan)
        asked.append(float(plan.actual.write_a[0]))
        reached.append(truth(bench).wear.worst_a)
    gain = (reached[1] - reached[0]) / (asked[1] - asked[0])
    return lambda current_a: reached[0] + gain * (np.asarray(current_a) - asked[0])


def _current_at(bench: Bench, p: float, width_s: float) -> float:
    """Amplitude in parts of I50 at which the first device switches with probability p."""
    i50_a = float(truth(bench).i50_a(width_s))
    grid = np.linspace(0.8, 1.2, 4001)
    return float(np.interp(p, truth(bench).p_switch(grid * i50_a, width_s), grid))


def _true_p(bench: Bench, current_a: np.ndarray, width_s: float) -> tuple[np.ndarray, np.ndarray]:
    bar = truth(bench)
    unit_a = logistic_unit_a(bench)
    p = bar.p_switch(current_a, width_s)
    up, down = (bar.p_switch(current_a + sign * 0.01 * unit_a, width_s) for sign in (1, -1))
    return p, (up - down) / 0.02


def logistic_unit_a(bench: Bench) -> float:
    bar = truth(bench)
    return float(bar.ic0_a() / (1.52 * bar.delta))


Two = dict[str, tuple[int, int]]


def _wear(bench: Bench) -> tuple[Two, Two]:
    """(truly borne, counted) pulses of each device by polarity."""
    world: Any = bench._twin.world  # type: ignore[union-attr]
    world.advance(bench.clock.now())
    real = {name: truth(bench, name).wear for name in NAMES}
    return {name: (each.positive, each.negative) for name, each in real.items()}, {
        name: bench.wear(name) for name in NAMES
    }


def _less(after: tuple[int, int], before: tuple[int, int]) -> tuple[int, int]:
    return after[0] - before[0], after[1] - before[1]


# ---- what a play must show ----------------------------------------------------------------------------


def shift_and_variance(found: Measured) -> tuple[float, float]:
    """(shift of the switching curve against the truth in logistic units, its variance): a score test."""
    use = (found.plan.batch.device == 0) & (found.of_i50 != SURE) & (found.of_i50 != NEVER)
    return score(found.bits[use], found.p[use], found.slope[use])


def score(bits: np.ndarray, p: np.ndarray, slope: np.ndarray) -> tuple[float, float]:
    weight = slope / (p * (1 - p))
    information = float((slope * weight).sum())
    return float(((bits - p) * weight).sum()) / information, 1 / information


def critical(comparisons: int) -> float:
    """Deviations that one of so many comparisons may reach at the family's false alarm rate."""
    return statistics.NormalDist().inv_cdf(1 - FALSE_ALARM / comparisons / 2)


def check_agreement(found: Measured, comparisons: int) -> None:
    shift, variance = shift_and_variance(found)
    assert abs(shift) / variance**0.5 < critical(comparisons), (
        f"{found.case}: shifted by {shift:.3f} +- {variance**0.5:.3f} logistic units"
    )


def check_order(found: Measured) -> None:
    """Every frame is there and clean, and where the outcome is sure it is that of the frame asked."""
    assert found.readings.clean.all(), f"{found.case}: flags {np.unique(found.readings.flags)}"
    for amount, switched in ((SURE, True), (NEVER, False)):
        assert (found.bits[found.of_i50 == amount] == switched).all(), f"{found.case}: frames out of order"
    in_order = found.readings.time_s[found.plan.order]
    assert (np.diff(in_order) > 0).all()


def check_counts(found: Measured) -> None:
    """Pulses by device and polarity: what the plan says, what is counted and what the device bore."""
    asked = found.plan.batch.pulses()
    assert found.plan.pulses == asked, f"{found.case}: planned {found.plan.pulses}, asked {asked}"
    assert found.counted == asked, f"{found.case}: counted {found.counted}, asked {asked}"
    never = found.of_i50 == NEVER  # those may be too small to count as wear of the device
    for number, name in enumerate(NAMES):
        up, down = asked[name]
        small = int((never & (found.plan.batch.device == number)).sum())
        bore = found.wear[name]
        assert bore[1] == down, f"{found.case}: {name} bore {bore}, asked {asked[name]}"
        assert bore[0] in (up, up - small), f"{found.case}: {name} bore {bore}, asked {asked[name]}"


def check_time(found: Measured) -> None:
    """Bench time within 3 % of the plan (10 ms for host work apart), and so much of the whole for each kind;
    a fifth for a player that does not know how many messages its drivers need."""
    share = 0.2 if recipe_of(found.case).slow else 0.03
    planned_s = found.plan.duration_s
    allowed_s = share * planned_s + 10e-3
    assert abs(found.bench_s - planned_s) < allowed_s, (
        f"{found.case}: took {found.bench_s:.4g} s, planned {planned_s:.4g} s"
    )
    assert abs(sum(found.plan.spent_s.values()) - planned_s) < 1e-9 * planned_s
    for kind in SPENT:
        spent_s, expected_s = found.spent_s[kind], found.plan.spent_s.get(kind, 0.0)
        assert abs(spent_s - expected_s) < allowed_s, (
            f"{found.case}: {kind} took {spent_s:.4g} s, planned {expected_s:.4g} s"
        )


def check_amplitude(found: Measured) -> None:
    """What reaches the device is what the plan states, within the uncertainty that it states and a hundredth
    of a logistic unit (the software loop does not know the digits of any source)."""
    allowed = 1e-4 + 3 * found.plan.amplitude_uncertainty
    assert abs(found.reached_a / found.write_a - 1) < allowed, (
        f"{found.case}: {found.reached_a:.6g} A reached the device, {found.write_a:.6g} A planned"
    )
    asked = found.plan.batch.write_a
    assert np.abs(found.plan.actual.write_a - asked).max() <= found.plan.quantisation_a * (1 + 1e-9)


class Kit:
    """Everything above, for the tests of this folder."""

    cases = staticmethod(cases)
    recipe = staticmethod(recipe_of)
    opened = staticmethod(opened)
    truth = staticmethod(truth)
    frames = staticmethod(frames_of)
    measure = staticmethod(measure)
    measured = staticmethod(measured)
    measured_with_errors = staticmethod(measured_with_errors)
    counted_messages = counted_messages
    shift_and_variance = staticmethod(shift_and_variance)
    score = staticmethod(score)
    critical = staticmethod(critical)
    check_agreement = staticmethod(check_agreement)
    check_order = staticmethod(check_order)
    check_counts = staticmethod(check_counts)
    check_time = staticmethod(check_time)
    check_amplitude = staticmethod(check_amplitude)
    logistic_unit_a = staticmethod(logistic_unit_a)
    wear = staticmethod(_wear)


@pytest.fixture
def kit() -> Iterator[type[Kit]]:
    yield Kit
