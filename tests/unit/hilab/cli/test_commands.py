"""The commands in process, on a laboratory's own bench: output, errors in one sentence, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hilab.cli.main import run_cli
from hilab.cli.output import duration
from hilab.cli.settings import parse_settings
from hilab.paths import log_dir

Write = Callable[..., Path]
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Runs a command; (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_cli([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


def blink(path: Path, *more: str | Path) -> tuple[str | Path, ...]:
    return ("run", "blink", "--bench", path, "--out", path.parent / "runs", *more)


# ---- what works -----------------------------------------------------------------------------------


def test_a_run_from_beginning_to_export(cli: Cli, bench_file: Write, tmp_path: Path) -> None:
    code, out, err = cli(*blink(bench_file(), "--json", "--set", "frames=6", "--set", 'devices=["bar2"]'))
    assert code == 0, err
    document = json.loads(out)  # one document on stdout, nothing else
    assert document["status"] == "done"
    assert document["parameters"]["frames"] == 6
    assert document["streams"]["blinks"] == {"rows": 6, "columns": ["voltage_v"], "units": {"voltage_v": "V"}}
    assert document["results"]["mean_v"] == 0.0
    assert {"run_file", "protocol", "bench_time_s"} <= set(document)

    shown = json.loads(cli("show", document["run_file"], "--json")[1])
    assert shown == document
    code, out, _ = cli("show", document["run_file"])
    assert code == 0
    assert "blinks: 6 rows of voltage_v" in out
    code, out, _ = cli("runs", tmp_path / "runs")
    assert code == 0
    assert "blink" in out
    assert json.loads(cli("runs", tmp_path / "runs", "--json")[1])["runs"][0]["rows"] == 6
    code, out, _ = cli("export", document["run_file"], "--to", "csv")
    assert code == 0
    assert len(Path(out.strip()).read_text(encoding="utf-8").splitlines()) >= 7


def test_the_bench_by_hand(cli: Cli, bench_file: Write) -> None:
    path = bench_file()
    code, out, _ = cli("bench", "identify", path, "--json")
    assert code == 0
    assert [row["name"] for row in json.loads(out)["instruments"]] == ["src", "dvm", "mux", "magnet", "probe"]
    code, out, _ = cli("bench", "check", path, "--json")
    assert code == 0
    assert [row["verdict"] for row in json.loads(out)["contacts"]] == ["ok", "ok"]
    code, out, _ = cli("bench", "read", path, "--device", "bar1", "--current-a", "1e-4", "--json")
    assert code == 0
    assert json.loads(out)["r_ohm"] == pytest.approx(300.5)
    code, out, _ = cli("bench", "pulse", path, "--device", "bar1", "--amplitude-a", "-1e-3", "--json")
    assert code == 0
    assert json.loads(out)["pulses_negative"] == 1
    code, out, _ = cli("bench", "safe", path, "--json")
    assert code == 0
    assert json.loads(out)["safe"] is True
    for command in (("check",), ("identify",), ("safe",), ("read", "--device", "bar1")):
        code, out, _ = cli("bench", command[0], path, *command[1:])
        assert code == 0
        assert out.strip()


def test_known_benches_are_listed(cli: Cli, bench_file: Write) -> None:
    bench_file()  # lies in the working directory
    code, out, _ = cli("bench", "list", "--json")
    assert code == 0
    assert {"sot_fast", "sot_classic", "lab"} <= {row["name"] for row in json.loads(out)["benches"]}
    assert cli("bench", "list")[0] == 0
    assert cli("bench", "identify", "lab")[0] == 0


@pytest.mark.usefixtures("site")
def test_protocols_are_listed_with_their_parameters(cli: Cli) -> None:
    code, out, _ = cli("protocols", "blink")
    assert code == 0
    assert "a laboratory's own protocol is an equal" in out.replace("\n", " ")
    assert "frames [4]  how many frames" in out
    found = json.loads(cli("protocols", "--json")[1])["protocols"]
    assert {"blink", "switching_probability"} <= {row["name"] for row in found}


def test_a_dry_run_plays_nothing(cli: Cli, bench_file: Write, tmp_path: Path) -> None:
    code, out, err = cli(*blink(bench_file(), "--dry-run", "--json", "--set", "frames=10"))
    assert code == 0, err
    assert json.loads(out)["frames"] == 10
    assert not (tmp_path / "runs").exists()
    assert (
        json.loads(
            cli(
                "bench", "pulse", tmp_path / "lab.toml", "--device", "bar1", "--amplitude-a", "1e-3", "--json"
            )[1]
        )["pulses_positive"]
        == 1
    )  # the dry run's frames were not counted


# ---- what is refused, and started nothing ----------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ('"lab_source"', '"lab_sourcerer"'),
            "there is no driver 'lab_sourcerer', did you mean 'lab_source'?",
        ),
        (('sample = "chip-7"', 'sample = "c"\ncolour = "red"'), "line 4, colour: unknown key 'colour'"),
        (('to = ["mux.1B"]', 'to = ["mux.1D"]'), "roles.reader: a wire is missing"),
        (("pulses_max = 1000", "pulses_max = -1"), "must be above 0, got -1"),
        (('"mux.1!2"', '"mux.1!1"'), "lie on one pad, mux.1!1"),
        (('name = "lab"', "name = lab"), "is no valid TOML: Invalid value (at line 2, column 8)"),
    ],
)
def test_a_bad_bench_file(
    cli: Cli, bench_file: Write, tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    path = bench_file(change)
    for command in (("bench", "check", path), blink(path)):
        code, out, err = cli(*command)
        assert code == 2
        assert said in err
        assert not out
    assert not (tmp_path / "runs").exists()


def test_several_problems_are_said_at_once(cli: Cli, bench_file: Write) -> None:
    path = bench_file(("pulses_max = 1000", "pulses_max = -1"))
    code, _, err = cli(
        *blink(path, "--set", "write_a=2", "--set", "frames=many", "--set", "frame=3", "--set", "x")
    )
    assert code == 2
    for said in (
        "'write_a' is 2",
        "'frames' is 'many'",
        "no parameter 'frame', did you mean 'frames'",
        "--set 'x'",
        "above 0",
    ):
        assert said in err, said
    assert len(err.splitlines()) == 5


@pytest.mark.usefixtures("site")
def test_an_unknown_protocol(cli: Cli, bench_file: Write) -> None:
    code, _, err = cli("run", "blik", "--bench", bench_file())
    assert code == 2
    assert "there is no protocol 'blik', did you mean 'blink'?" in err


def test_an_amplitude_above_the_envelope(cli: Cli, bench_file: Write) -> None:
    path = bench_file()
    code, _, err = cli(*blink(path, "--set", "write_a=0.5"))
    assert code == 1
    assert "bar1: a write amplitude of 500 mA is above its envelope of 2 mA" in err
    code, _, err = cli("bench", "pulse", path, "--device", "bar1", "--amplitude-a", "0.5")
    assert code == 1
    assert "outside its envelope" in err


def test_a_read_that_cannot_tell_the_states_apart(cli: Cli, bench_file: Write) -> None:
    code, _, err = cli(*blink(bench_file(("format = 1", "format = 1\nmisread_limit = 1e-10"))))
    assert code == 1
    assert "cannot tell the states apart (misread probability 1e-09, limit 1e-10)" in err


def test_an_instrument_with_another_identity(cli: Cli, bench_file: Write) -> None:
    path = bench_file(('bench = "lab"', 'bench = "lab"\nmodels = { dvm = "MODEL 2000" }'))
    code, _, err = cli("bench", "identify", path)
    assert code == 1
    assert "answers as ACME MODEL 2000, but the driver 'lab_reader' speaks to a LAB" in err


def test_an_output_folder_that_cannot_be_written(cli: Cli, bench_file: Write, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    code, _, err = cli("run", "blink", "--bench", bench_file(), "--out", tmp_path / "file" / "runs")
    assert code in (1, 2)
    assert len(err.splitlines()) == 1
    assert str(tmp_path / "file") in err


@pytest.mark.parametrize("command", [("show",), ("export", "--to", "csv"), ("resume",)])
def test_a_file_that_is_no_run_file(cli: Cli, tmp_path: Path, command: tuple[str, ...]) -> None:
    path = tmp_path / "x.h5"
    for content in (None, b"not HDF5"):
        if content:
            path.write_bytes(content)
        code, out, err = cli(command[0], path, *command[1:])
        assert code in (1, 2)
        assert str(path) in err
        assert len(err.splitlines()) == 1
        assert not out


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("run",),
        ("run", "blink"),
        ("bench", "read", "sot_fast"),
        ("runs", "--wrong"),
        ("sim", "serve"),
        ("run", "blink", "--bench", "sot_fast", "--seed", "-1"),
    ],
)
def test_wrong_usage(cli: Cli, arguments: tuple[str, ...]) -> None:
    code, out, err = cli(*arguments)
    assert code == 2
    assert err.startswith("hilab: ")
    assert not out


# ---- how a run ends --------------------------------------------------------------------------------


def test_a_protocol_that_fails_is_recorded_and_safe(cli: Cli, bench_file: Write) -> None:
    code, out, err = cli(*blink(bench_file(), "--json", "--set", "fail=true"))
    assert code == 1
    document = json.loads(out)
    assert document["status"] == "failed"
    assert document["streams"]["blinks"]["rows"] == 2
    assert document["verified_safe"] is True
    assert "the probe was lifted: land it again" in err


def test_a_run_that_was_cut_off_goes_on_without_playing_anything_twice(
    cli: Cli, bench_file: Write, lab: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bench_file()
    play = lab.Player.play
    left = 3

    def lose_the_link(self: Any, plan: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise lab.BenchError("the link dropped")
        return play(self, plan, **options)

    monkeypatch.setattr(lab.Player, "play", lose_the_link)
    code, out, _ = cli(*blink(path, "--json", "--set", "frames=6"))
    assert code == 1
    document = json.loads(out)
    assert document["streams"]["blinks"]["rows"] == 3
    monkeypatch.setattr(lab.Player, "play", play)
    path.unlink()  # the run file holds the bench file's text
    code, out, err = cli("resume", document["run_file"], "--json")
    assert code == 0, err
    document = json.loads(out)
    assert (document["status"], document["streams"]["blinks"]["rows"]) == ("done", 6)
    assert document["results"]["mean_v"] == 0.0
    code, _, err = cli("resume", document["run_file"])
    assert code == 2
    assert "it is done" in err


def test_what_is_not_verified_off_is_exit_code_4(
    cli: Cli, bench_file: Write, lab: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bench_file()
    play = lab.Player.play

    def play_and_lose_the_source(self: Any, plan: Any, **options: Any) -> Any:
        self.station.role("pulse_source").board.hung.add("src")
        return play(self, plan, **options)

    monkeypatch.setattr(lab.Player, "play", play_and_lose_the_source)
    code, out, err = cli(*blink(path, "--json"))
    assert code == 4
    assert json.loads(out)["verified_safe"] is False
    assert "UNVERIFIED: 'src' is not verified off (src did not answer)" in err
    code, _, err = cli("bench", "safe", bench_file(('bench = "lab"', 'bench = "lab"\nhung = ["src"]')))
    assert code == 4
    assert "UNVERIFIED" in err


def test_an_interrupt_by_hand_leaves_everything_off(
    cli: Cli, bench_file: Write, lab: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def interrupted(self: Any) -> float:
        seen.append(self.board)
        assert self.board.on
        raise KeyboardInterrupt

    monkeypatch.setattr(lab.Reader, "read_v", interrupted)
    code, _, err = cli("bench", "read", bench_file(), "--device", "bar1")
    assert code == 3
    assert "stopped" in err
    assert not seen[0].on


def test_an_unexpected_error_leaves_its_traceback_in_a_file(
    cli: Cli, bench_file: Write, lab: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab.Reader, "read_v", lambda self: 1 / 0)
    code, out, err = cli("bench", "read", bench_file(), "--device", "bar1")
    assert code == 1
    assert len(err.splitlines()) == 1
    assert "unexpected ZeroDivisionError: division by zero" in err
    (log,) = log_dir().iterdir()
    assert str(log) in err
    assert "Traceback" in log.read_text(encoding="utf-8")
    assert not out


# ---- small parts -----------------------------------------------------------------------------------


def test_settings_are_toml_or_json_or_text() -> None:
    given = [
        "a=1",
        "b=1e-3",
        "c=true",
        "d=[1, 2]",
        "e=w2_d1",
        'f="2"',
        "g=null",
        "h=[w2_d1, w2_d2]",
        "i=",
        "j=x=y",
    ]
    values, problems = parse_settings(given)
    assert not problems
    assert list(values.values()) == [1, 1e-3, True, [1, 2], "w2_d1", "2", None, ["w2_d1", "w2_d2"], "", "x=y"]
    assert parse_settings(["a=1", "a=2"])[1] == ["--set gives 'a' more than once"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.2, "7 s"), (125, "2 min 05 s"), (3780, "1 h 03 min"), (float("nan"), "?")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
