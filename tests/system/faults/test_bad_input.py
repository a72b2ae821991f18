"""Bad input through the command line: one clear sentence, exit code 1 or 2, and nothing started."""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hilab.paths import data_dir
from hilab.store.reader import load_run

FAST = ("--bench", "sot_fast", "--out", "runs")


@pytest.fixture
def nothing_started(twin: Any) -> Callable[[], None]:
    """Asserts that no run file was made, no source was ever on, and no coil was told anything."""
    was_on: list[str] = []

    def watch(made: Any) -> None:
        real = made.bench.world.set_level

        def set_level(terminal: str, level: Any) -> None:
            if level.connected or level.value:
                was_on.append(terminal)
            real(terminal, level)

        made.bench.world.set_level = set_level

    twin.at_first = watch

    def check() -> None:
        assert not [path for path in Path("runs").glob("*") if path.is_file()]
        assert was_on == []
        assert twin.bench is None or twin.bench.world.field._target_a == 0

    return check


def changed(folder: Path, old: str, new: str, name: str = "sot_fast") -> Path:
    text = (data_dir() / "benches" / f"{name}.toml").read_text(encoding="utf-8")
    assert old in text
    path = folder / "changed.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('driver = "keithley2636b"', 'driver = "keithly2636b"', "did you mean 'keithley2636b'"),
        ('operator = ""', 'operatr = ""', "unknown key 'operatr'"),
        ("mains_hz = 50", "mains_khz = 50", "unknown key mains_khz"),
        ('from = "magnet.out"\nto = ["coil"]', 'from = "magnet.out"\nto = ["smu.c"]', "wire is missing"),
        ("read_max_a = 0.177e-3", "read_max_a = -0.177e-3", "above 0"),
        ("read_max_a = 0.177e-3", "read_max_a = nan", "finite"),
        ("voltage_max_v = 20.0", "voltage_max_v = inf", "finite"),
        ("max_t = 0.045", 'max_t = "strong"', "number"),
        ('hall = "mux.1!12"', 'hall = "mux.1!11"', "on one pad"),
        ('hall = "mux.1!12"', 'hall = "mux.9!12"', "no channel"),
        ("format = 1", "format = ", "line 8"),
        ("format = 1", "format = 2", "format"),
    ],
)
def test_bench_files(old: str, new: str, said: str, hilab: Any, nothing_started: Any, tmp_path: Path) -> None:
    found = hilab("run", "contact_check", "--bench", changed(tmp_path, old, new), "--out", "runs")
    assert found.code == 2
    assert said in found.err
    nothing_started()


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00", b"x" * 100_000, b"a = " + b"[" * 5000])
def test_files_that_are_no_bench_file(
    content: bytes | None, hilab: Any, nothing_started: Any, tmp_path: Path
) -> None:
    path = tmp_path / "bench.toml"
    if content is not None:
        path.write_bytes(content)
    found = hilab("run", "contact_check", "--bench", path, "--out", "runs")
    assert found.code == 2
    assert found.err.startswith("hilab: ")
    assert len(found.err) < 4000
    nothing_started()


@pytest.mark.parametrize(
    "value", ["nan", "-inf", "1e308", "-1", "0", "many", "[]", "{}", "true", "null", "''"]
)
@pytest.mark.parametrize(
    ("protocol", "parameter"),
    [
        ("switching_probability", "write_width_s"),
        ("switching_probability", "integration_s"),
        ("switching_probability", "trials"),
        ("switching_probability", "span_units"),
        ("switching_probability", "tau0_s"),
        ("hysteresis_field", "field_max_t"),
        ("hysteresis_current", "points"),
        ("reset_scan", "trials"),
        ("contact_check", "tap_distance_m"),
    ],
)
def test_numbers_that_are_nonsense(
    value: str, protocol: str, parameter: str, hilab: Any, nothing_started: Any
) -> None:
    if value == "null" and parameter in ("write_width_s", "integration_s"):
        value = "1e99"  # without a value they are the bench's own
    found = hilab("run", protocol, *FAST, "--set", f"{parameter}={value}")
    assert found.code in (1, 2)
    assert parameter in found.sentence()
    nothing_started()


@pytest.mark.parametrize("value", ["[nan]", "[inf]", "[1e308]", "[-1e-3]", "['x']", "1e-3"])
def test_amplitudes_that_are_nonsense(value: str, hilab: Any, nothing_started: Any) -> None:
    found = hilab("run", "switching_probability", *FAST, "--set", "devices=[w2_d1]",
                  "--set", f"amplitudes_a={value}")  # fmt: skip
    assert found.code in (1, 2)
    assert found.err.startswith("hilab: ")
    nothing_started()


def test_parameters_that_are_misspelt_are_all_said_at_once(hilab: Any, nothing_started: Any) -> None:
    found = hilab("run", "switching_probability", *FAST,
                  "--set", "trails=3", "--set", "point=7", "--set", "rounds=x")  # fmt: skip
    assert found.code == 2
    for said in ("'trails', did you mean 'trials'", "'point', did you mean 'points'", "'rounds' is 'x'"):
        assert said in found.err
    nothing_started()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("devices=[w2_d9]",), "w2_d9"),
        (("devices=[w2_d1]", "amplitudes_a=[0.5e-3, 5e-3]"), "the device bears"),
        (("devices=[w2_d1]", "reset_a=-5e-3"), "the device bears"),
        (("devices=[w2_d1]", "read_a=1e-3"), "read"),
        (("devices=[w2_d1]", "read_a=1e-9"), "cannot tell its states apart"),
    ],
)
@pytest.mark.parametrize("bench", ["sot_fast", "sot_classic"])
def test_what_the_devices_forbid(
    bench: str, settings: tuple[str, ...], said: str, hilab: Any, twin: Any, nothing_started: Any
) -> None:
    arguments = [part for setting in settings for part in ("--set", setting)]
    found = hilab("run", "switching_probability", "--bench", bench, "--out", "runs", *arguments)
    assert found.code in (1, 2)
    assert said in found.err
    nothing_started()


@pytest.mark.parametrize("protocol", ["hil_training", "bias_variation"])
def test_idx_files_that_are_none(protocol: str, hilab: Any, nothing_started: Any, tmp_path: Path) -> None:
    good = data_dir() / "mnist"
    folder = tmp_path / "images"

    def fresh() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(good, folder)

    def refused(said: str) -> None:
        found = hilab("run", protocol, *FAST, "--set", f"data={folder}")
        assert found.code == 2
        assert said in found.sentence()
        nothing_started()

    refused("no such file")
    name = "train-labels-idx1-ubyte"
    packed = (good / f"{name}.gz").read_bytes()
    plain = gzip.decompress(packed)
    fresh()
    (folder / f"{name}.gz").write_bytes(packed[:-100])
    refused("cut short")
    for content, said in [
        (plain[:-7], "cut short"),
        (plain + b"1", "more data"),
        (plain[:6], "header is cut short"),
        (b"<html>not found</html>", "not an IDX file"),
        (struct.pack(">2xBB2I", 8, 2, 30_000, 2) + plain[8:], "does not hold one digit"),
        (struct.pack(">2xBBI", 8, 1, 1 << 31) + plain[8:], "more than"),
        (plain[:8] + b"\x0b" + plain[9:], "does not hold one digit"),
    ]:
        fresh()
        (folder / f"{name}.gz").unlink()
        (folder / name).write_bytes(content)
        refused(said)


@pytest.mark.parametrize("kind", ["a file", "below a file", "not writable", "a device"])
def test_output_folders(kind: str, hilab: Any, nothing_started: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    if kind == "not writable" and os.access(closed, os.W_OK):
        closed = Path("/proc/1")  # where not even the superuser can write
    out = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "runs", "not writable": closed,
           "a device": Path(os.devnull)}[kind]  # fmt: skip
    found = hilab("run", "contact_check", "--bench", "sot_fast", "--out", out)
    assert found.code in (1, 2)
    assert str(out) in found.sentence()
    nothing_started()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a disk of so many KiB; skips where only the superuser could."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(size_kib: int) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(disk)]
        if (
            shutil.which("mount") is None
            or subprocess.run(command, capture_output=True, check=False).returncode
        ):
            pytest.skip("a small disk can be mounted by the superuser only")
        return disk

    yield mount
    if os.path.ismount(disk):
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("size_kib", [240, 440])
def test_a_disk_that_is_full_ends_the_run_safely(size_kib: int, small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(size_kib)
    command = [sys.executable, "-m", "hilab", "run", "switching_probability", "--bench", "sot_fast",
               "--out", disk, "--set", "devices=[w2_d1,w2_d2]", "--set", "trials=500"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "is the disk full?" in done.stderr or "No space left" in done.stderr
    (path,) = disk.glob("*.h5")
    assert load_run(path).status in ("failed", "interrupted")  # it opens; what was published: below


FILLS_THE_DISK = """
import sys
import hilab

def tell(notice):
    if getattr(notice, "stream", "") == "frames":
        print(notice.first_row + len(notice.columns["device"]), flush=True)

with hilab.open_bench("sot_fast") as bench:
    asked = {"devices": ["w2_d1", "w2_d2"], "trials": 500}
    hilab.run("switching_probability", bench, asked, out=sys.argv[1], subscribers=[tell])
"""


def test_what_was_published_before_the_disk_was_full_is_in_the_file(
    small_disk: Callable[[int], Path],
) -> None:
    disk = small_disk(440)
    command = [sys.executable, "-c", FILLS_THE_DISK, str(disk)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "No space left" in done.stderr
    (path,) = disk.glob("*.h5")
    assert load_run(path).streams["frames"].rows >= int(done.stdout.split()[-1]) > 0


def test_a_line_is_not_read_by_a_source_without_a_meter(hilab: Any, twin: Any) -> None:
    said = hilab("bench", "read", "sot_waveform", "--device", "w2_d1", "--port", "current", "--json")
    assert said.code == 1
    assert "'awg' has no meter" in said.sentence()
    assert not said.out
    assert not twin.live()


def test_a_pulse_width_that_the_source_does_not_make_costs_no_wear(hilab: Any, twin: Any) -> None:
    pulse = ("bench", "pulse", "sot_waveform", "--device", "w2_d1", "--amplitude-a", "5e-4", "--json")
    said = hilab(*pulse, "--width-s", "1e-9")
    assert said.code == 1
    assert "'awg' makes pulses of 1e-06 to 1000 s, not of 1e-09 s" in said.sentence()
    assert hilab(*pulse).document["pulses_positive"] == 1
