"""An instrument that falls silent in the middle of a run: said, and everything else is off."""

from __future__ import annotations

from typing import Any

import pytest

from hilab.store.reader import load_run

LOOP = ("run", "hysteresis_field", "--json", "--set", 'devices=["w2_d1"]', "--set", "points=5")
SWITCHING = ("run", "switching_probability", "--json", "--set", 'devices=["w2_d1"]', "--set", "points=5",
             "--set", "trials=2", "--set", "rounds=1")  # fmt: skip
OUTPUTS = {"sot_fast": ("smu", "mux", "magnet"), "sot_classic": ("source", "mux", "magnet")}
READERS = {"sot_fast": ("gaussmeter",), "sot_classic": ("nvm", "gaussmeter")}
PROGRAMME_S = 60.0  # longer than any programme that is started here


MESSAGES: dict[tuple[str, str], dict[str, int]] = {}
"""(protocol, bench) -> messages to each instrument in a run without trouble."""


def messages(twin: Any, hilab: Any, command: tuple[str, ...], bench: str) -> dict[str, int]:
    key = command[1], bench
    if key not in MESSAGES:
        assert hilab(*command, "--bench", bench).code == 0
        MESSAGES[key] = twin.exchanges()
    return MESSAGES[key]


def lose(twin: Any, how: str, name: str, share: float, sent: dict[str, int] | None = None) -> None:
    """The instrument is lost after this share of its messages in a run, or with the very first one."""
    at = 1 if sent is None else 1 + int(share * sent[name])

    def arm(made: Any) -> None:
        if how == "hangs":
            made.faults(name).hang(at)
        else:
            made.faults(name).drop(at, "before", stays_down=True)

    if sent is not None:
        twin.at_run = arm
    else:
        twin.at_first = arm


@pytest.fixture(params=["hangs", "drops"])
def how(request: Any) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    ("bench", "name"), [(bench, name) for bench, names in OUTPUTS.items() for name in names]
)
def test_an_output_that_does_not_answer_is_unverified(
    bench: str, name: str, how: str, twin: Any, hilab: Any
) -> None:
    lose(twin, how, name, 0.6, messages(twin, hilab, LOOP, bench))
    said = hilab(*LOOP, "--bench", bench)
    assert said.code == 4
    if name != "mux":  # which has no part in the run after its relays are closed
        assert said.document["status"] == "failed"
    assert said.document["verified_safe"] is False
    assert f"UNVERIFIED: {name!r}" in said.err
    unverified = {line.split("'")[1] for line in said.err.splitlines() if "UNVERIFIED" in line}
    source = OUTPUTS[bench][0]
    assert unverified == ({name, "mux"} if name == source else {name})  # relays are not opened under current
    run = load_run(said.document["run_file"])
    assert run.streams["field_loop"]["field_t"].size == said.document["streams"]["field_loop"]["rows"] >= 1
    if name != source:
        assert not twin.live()
    if name != "magnet":
        assert twin.bench.world.field._target_a == 0
    assert twin.bench.world.faults == []


@pytest.mark.parametrize(
    ("bench", "name"), [(bench, name) for bench, names in READERS.items() for name in names]
)
def test_a_meter_that_does_not_answer_fails_the_run_and_all_is_off(
    bench: str, name: str, how: str, twin: Any, hilab: Any
) -> None:
    lose(twin, how, name, 0.6, messages(twin, hilab, LOOP, bench))
    said = hilab(*LOOP, "--bench", bench)
    assert said.code == 1
    assert said.document["verified_safe"] is True
    assert name in said.err
    assert not twin.live()
    assert twin.bench.world.field._target_a == 0
    assert twin.bench.world.wiring.closed == ()


@pytest.mark.parametrize(
    ("bench", "share", "how"),
    [("sot_fast", 0.3, "hangs"), ("sot_fast", 0.5, "drops"), ("sot_fast", 0.7, "hangs"),
     ("sot_fast", 0.9, "drops"), ("sot_classic", 0.05, "drops"), ("sot_classic", 0.3, "hangs")],
)  # fmt: skip
def test_frames_of_a_silent_source_end_with_their_programme(
    bench: str, share: float, how: str, twin: Any, hilab: Any
) -> None:
    source = OUTPUTS[bench][0]
    lose(twin, how, source, share, messages(twin, hilab, SWITCHING, bench))
    said = hilab(*SWITCHING, "--bench", bench)
    assert said.code == 4
    assert f"UNVERIFIED: {source!r}" in said.err
    assert not twin.live(PROGRAMME_S)


@pytest.mark.parametrize(
    ("bench", "name"), [(bench, name) for bench, names in OUTPUTS.items() for name in names]
)
def test_bench_safe_says_who_does_not_answer(bench: str, name: str, how: str, twin: Any, hilab: Any) -> None:
    lose(twin, how, name, 0)
    said = hilab("bench", "safe", bench, "--json")
    assert said.code == 4
    assert f"UNVERIFIED: {name!r}" in said.err
    reports = {row["instrument"]: row["verified"] for row in said.document["instruments"]}
    source = OUTPUTS[bench][0]
    expected = {other: other != name and not (name == source and other == "mux") for other in OUTPUTS[bench]}
    assert reports == expected
    assert not twin.live()
