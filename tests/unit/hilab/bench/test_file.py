"""Bad bench files: every problem at once, each one sentence with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hilab.bench.check import read_bench_file
from hilab.bench.opening import twin_tables
from hilab.errors import BenchFileError
from hilab.paths import data_dir, find_bench

Write = Callable[..., Path]

BAR2 = 'bar2 = { kind = "bar", pads = { current = "mux.1!2", hall = "mux.1!12" } }'


def problems(path: Path) -> list[str]:
    with pytest.raises(BenchFileError) as caught:
        read_bench_file(path)
    return [problem.removeprefix(f"{path}, ") for problem in caught.value.problems]


@pytest.mark.parametrize("name", ["sot_fast", "sot_classic", "sot_digitiser", "sot_smu", "sot_waveform"])
def test_the_bench_files_that_come_with_hilab_are_right(name: str) -> None:
    file = read_bench_file(find_bench(name))
    assert file.name == name
    assert len(file.devices) == 16
    card = file.devices["w16_d4"].card("w16_d4")
    assert card.ports["hall"] == ("matrix.4B11" if name == "sot_waveform" else "mux.2!18")
    reached_a = 8.9e-3 if name == "sot_waveform" else 12.8e-3  # 10 V behind 50 ohm give no more
    assert card.limits.current_max_a(100e-6) == pytest.approx(reached_a)
    assert card.limits.current_max_a(100.0) == pytest.approx(4e-3)


@pytest.mark.parametrize("name", ["sot_fast", "sot_classic", "sot_digitiser", "sot_smu", "sot_waveform"])
def test_real_addresses_are_all_it_takes_to_leave_the_simulation(name: str, tmp_path: Path) -> None:
    text = (data_dir() / "benches" / f"{name}.toml").read_text(encoding="utf-8")
    text = text[: text.index("\n[simulation]")]
    lines = []
    for line in text.splitlines():
        if line.startswith('address = "sim"'):
            line = f"address = {line.partition('# real: ')[2].split(' or ')[0]}"
        lines.append(line)
    path = tmp_path / "real.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert not read_bench_file(path).simulated


def test_kinds_are_merged_and_a_devices_own_value_wins(bench_file: Write) -> None:
    own = BAR2.replace('kind = "bar",', 'kind = "bar", r_ohm = 1200, limits = { pulses_max = 5 },')
    file = read_bench_file(bench_file((BAR2, own)))
    assert file.devices["bar2"].r_ohm == 1200
    assert file.devices["bar2"].limits.pulses_max == 5
    assert file.devices["bar2"].limits.read_max_a == file.devices["bar1"].limits.read_max_a


def test_the_twin_gets_plain_tables_and_the_simulation_unread(bench_file: Write) -> None:
    tables = twin_tables(read_bench_file(bench_file(("max_t = 0.04", "max_t = 0.04\nramp_a_per_s = 1.0"))))
    assert tables["simulation"] == {"bench": "lab"}
    assert tables["wires"][0] == {"from": "src.out", "to": ["mux.1A"]}
    assert tables["field"] == {"tesla_per_ampere": 4e-3, "max_t": 0.04, "assist_t": 0.03}
    assert tables["devices"]["bar1"]["limits"]["pulses_max"] == 1000


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            '"lab_source"',
            '"lab_sourc"',
            "line 6, instruments.src.driver: there is no driver 'lab_sourc', did you",
        ),
        (
            'sample = "chip-7"',
            'sampel = "x"\nsample = "y"',
            "line 3, sampel: unknown key 'sampel', did you mean 's",
        ),
        (
            "max_t = 0.04",
            "max_t = 0.04\nmax_tt = 1",
            "field.max_tt: unknown key 'max_tt', did you mean 'max_t'?",
        ),
        ('to = ["mux.1A"]', 'to = ["mux.1C"]', "roles.pulse_source: a wire is missing: no terminal of 'src'"),
        (
            'to = ["mux.1B"]',
            'to = ["mux.1D"]',
            "roles.reader: a wire is missing: no terminal of 'dvm' reaches",
        ),
        (
            'to = ["coil"]',
            'to = ["mux.1D"]',
            "roles.field_source: a wire is missing: no terminal of 'magnet'",
        ),
        ('"field.perpendicular"', '"mux.1D"', "roles.field_meter: a wire is missing: no terminal of 'probe'"),
        (
            "read_max_a = 0.2e-3",
            "read_max_a = -0.2e-3",
            "line 62, kinds.bar.limits.read_max_a: must be above 0, got",
        ),
        ("pulses_max = 1000", "pulses_max = 0", "kinds.bar.limits.pulses_max: must be above 0, got 0"),
        (
            "width_s = 1.0",
            "width_s = 50e-6",
            "kinds.bar.limits.pulse_max_a: pulse widths must ascend, got [0.0001",
        ),
        (
            '"mux.1!2"',
            '"mux.1!1"',
            "devices.bar2.pads.current: bar2.current and bar1.current lie on one pad, mux.1!1",
        ),
        (
            '"mux.1!12"',
            '"mux.1!22"',
            "devices.bar2.pads.hall: nobody is wired to mux.1C, where bar2.hall lie: add",
        ),
        ('"mux.1!12"', '"mux.1!41"', "there is no channel mux.1!41: a card 7011 has channels 1 to 40"),
        ('"mux.1!12"', '"mux.2!12"', "there is no channel mux.2!12: 'mux' has no card in slot 2"),
        ('"mux.1!12"', '"mux.1!x"', "'mux.1!x' is no channel: write it like 'mux.1!3'"),
        ('"mux.1!12"', '"mox.1!12"', "'mox.1!12': there is no instrument 'mox', did you mean 'mux'?"),
        (
            'from = "src.out"',
            'from = "scr.out"',
            "wires.0.from: 'scr.out': there is no instrument 'scr', did you",
        ),
        (
            'reader = "dvm"',
            'reader = "dmv"',
            "roles.reader: there is no instrument 'dmv', did you mean 'dvm'?",
        ),
        ('reader = "dvm"', 'raeder = "dvm"', "roles.raeder: unknown role 'raeder', did you mean 'reader'?"),
        (
            'bar1 = { kind = "bar"',
            'bar1 = { kind = "baz"',
            "devices.bar1.kind: there is no device kind 'baz', did",
        ),
        ('current = "mux.1!2", ', "", "devices.bar2.pads: bar2 has no pad 'current': no source can reach it"),
        ("r_ohm = 1000\n", "", "kinds.bar.r_ohm: the key 'r_ohm' is missing"),
        ("r_ohm = 1000\n", 'r_ohm = "1000"\n', "kinds.bar.r_ohm: must be a valid number, got '1000'"),
        ("format = 1", "format = 2", "line 1, format: must be 1, got 2"),
        (
            'bench = "lab"',
            'bench = "lob"',
            "simulation.bench: there is no simulated bench 'lob', did you mean 'lab'?",
        ),
        (
            '[simulation]\nbench = "lab"',
            "",
            "simulation: addresses are 'sim' but there is no table [simulation]",
        ),
        ("[field]\ntesla_per_ampere = 4e-3\nmax_t = 0.04\nassist_t = 0.03\n", "", "but no table [field]"),
    ],
)
def test_one_mistake_is_one_sentence(bench_file: Write, old: str, new: str, said: str) -> None:
    found = problems(bench_file((old, new)))
    assert any(said in problem for problem in found), found
    assert len(found) <= 4, found  # a cut wire also leaves roles and pads without their counterpart


def test_a_toml_error_names_its_line(bench_file: Write) -> None:
    with pytest.raises(BenchFileError, match=r"lab\.toml is no valid TOML: .*line 3, column"):
        read_bench_file(bench_file(('sample = "chip-7"', "sample = chip-7")))


def test_a_toml_error_at_the_end_names_the_last_line(bench_file: Write) -> None:
    path = bench_file()
    lines = len(path.read_text(encoding="utf-8").splitlines())
    path.write_text(path.read_text(encoding="utf-8") + "x = [", encoding="utf-8")
    with pytest.raises(BenchFileError, match=rf"line {lines + 1}, the end of the file"):
        read_bench_file(path)


def test_real_and_simulated_addresses_are_not_mixed(bench_file: Write) -> None:
    one = 'driver = "lab_meter"\naddress = "sim"'
    found = problems(bench_file((one, one.replace("sim", "GPIB0::5::INSTR"))))
    assert any("real and simulated addresses are mixed: give dvm, magnet, mux, src" in said for said in found)


def test_real_addresses_must_be_addresses_and_differ(real_bench_file: Write) -> None:
    found = problems(real_bench_file(("GPIB0::4::INSTR", "gpib::5"), ("GPIB0::3::INSTR", "COM-three")))
    assert any("'COM-three' is no VISA address: write it like" in said for said in found)
    assert any("GPIB0::5::INSTR is the address of 'magnet' already" in said for said in found)


def test_all_problems_are_said_at_once(bench_file: Write) -> None:
    found = problems(
        bench_file(
            ('"lab_source"', '"lab_sauce"'),
            ("read_max_a = 0.2e-3", "read_max_a = -1"),
            ('"mux.1!2"', '"mux.1!1"'),
            ('reader = "dvm"', 'reader = "dwm"'),
            ("max_t = 0.04", "max = 0.04"),
        )
    )
    for said in (
        "lab_sauce",
        "must be above 0",
        "lie on one pad",
        "'dwm'",
        "unknown key 'max'",
        "'max_t' is missing",
    ):
        assert any(said in problem for problem in found), (said, found)
    assert len(found) == 6


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no bench file"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"", "the key 'format' is missing"),
    ],
)
def test_what_is_no_bench_file_is_said_so(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "x.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BenchFileError, match=said):
        read_bench_file(path)
    with pytest.raises(BenchFileError, match="is a folder"):
        read_bench_file(tmp_path)


def test_overrides_replace_values_of_the_file(bench_file: Write) -> None:
    file = read_bench_file(
        bench_file(), {"sample": "other", "kinds.bar.limits": {"pulses_max": 7}, "note": "n"}
    )
    assert (file.sample, file.note) == ("other", "n")
    assert file.devices["bar1"].limits.pulses_max == 7
    assert file.devices["bar1"].limits.read_max_a == 0.2e-3


def test_an_override_that_does_not_fit_is_refused(bench_file: Write) -> None:
    with pytest.raises(BenchFileError, match=r"the override 'sample\.x' does not fit"):
        read_bench_file(bench_file(), {"sample.x": 1})
