"""Instruments behind real sockets: hilab or its instruments are killed, then the bench is made safe."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pyvisa

from hilab.paths import data_dir
from hilab.store.reader import load_run

RUN = ("run", "switching_probability", "--json", "--set", "devices=[w2_d1]", "--set", "trials=20000",
       "--set", "rounds=200")  # fmt: skip


def hilab(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "hilab", *map(str, arguments)]


class Served:
    """sot_fast served over TCP by a process of its own, and a bench file with its addresses."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = os.environ | {
            "XDG_STATE_HOME": str(folder), "HILAB_HOME": str(folder / "home")
        }  # fmt: skip
        self.server = subprocess.Popen(
            hilab("sim", "serve", "sot_fast", "--json", "--speed", "20"), stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, cwd=folder, env=self.environment,
        )  # fmt: skip
        assert self.server.stdout is not None
        rows = json.loads(self.server.stdout.readline())["instruments"]
        self.addresses = {row["name"]: row["address"] for row in rows}
        self.path = self.bench_file(self.addresses)

    def bench_file(self, addresses: Mapping[str, str], name: str = "served.toml") -> Path:
        text = (data_dir() / "benches" / "sot_fast.toml").read_text(encoding="utf-8")
        text = text[: text.index("\n[simulation]")]
        for instrument, address in addresses.items():
            before, table, after = text.partition(f"[instruments.{instrument}]")
            text = before + table + re.sub(r'address = "sim"', f'address = "{address}"', after, count=1)
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(hilab(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                cwd=self.folder, env=self.environment)  # fmt: skip

    def call(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(hilab(*arguments), capture_output=True, text=True, check=False, timeout=60,
                              cwd=self.folder, env=self.environment)  # fmt: skip

    def outputs(self) -> list[float]:
        """smua and smub output and level, asked by another program."""
        manager = pyvisa.ResourceManager("@py")
        with manager.open_resource(
            self.addresses["smu"], read_termination="\n", write_termination="\n", timeout=2000
        ) as smu:
            asked = "print(smua.source.output,smub.source.output,smua.source.leveli,smub.source.leveli)"
            answer: Any = smu.query(asked)  # type: ignore[attr-defined]
        manager.close()
        return [float(field) for field in answer.split()]

    def run_file(self) -> Path:
        (path,) = (self.folder / "runs").glob("*.h5")
        return path

    def close(self) -> None:
        self.server.kill()
        self.server.communicate()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.close()


def under_way(process: subprocess.Popen[str], served: Served) -> None:
    """wait until the devices are located: the next batches are under way."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if load_run(served.run_file()).streams["frames"].rows >= 400:
                return
        except (ValueError, OSError):
            pass
        time.sleep(0.1)  # another process and a wall clock: nothing here can be waited on
    process.kill()
    pytest.fail(f"the run did not get under way: {process.communicate()}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_a_batch(served: Served, number: signal.Signals) -> None:
    process = served.start(*RUN, "--bench", served.path)
    under_way(process, served)
    process.send_signal(number)
    start = time.monotonic()
    out, err = process.communicate(timeout=30)
    took = time.monotonic() - start
    assert process.returncode == 3, err
    assert took < 3.0
    document = json.loads(out)
    assert (document["status"], document["verified_safe"]) == ("aborted", True)
    assert served.outputs() == [0, 0, 0, 0]
    run = load_run(served.run_file())
    assert run.streams["frames"]["voltage_v"].size == document["streams"]["frames"]["rows"] >= 400


def test_instruments_that_are_gone_in_the_middle_of_a_run(served: Served) -> None:
    process = served.start(*RUN, "--bench", served.path)
    under_way(process, served)
    served.server.kill()
    out, err = process.communicate(timeout=40)
    assert process.returncode == 4, err
    assert json.loads(out)["status"] == "failed"
    for name in ("smu", "mux", "magnet"):
        assert f"UNVERIFIED: {name!r}" in err
    assert "Traceback" not in err
    assert load_run(served.run_file()).streams["frames"].rows >= 400
    safe = served.call("bench", "safe", served.path)
    assert safe.returncode == 4
    assert safe.stderr.count("UNVERIFIED") == 3


def test_hilab_is_killed_and_the_bench_made_safe_afterwards(served: Served) -> None:
    process = served.start(*RUN, "--bench", served.path)
    under_way(process, served)
    process.kill()
    process.communicate()
    safe = served.call("bench", "safe", served.path, "--json")
    assert safe.returncode == 0, safe.stderr
    assert json.loads(safe.stdout)["safe"] is True
    assert served.outputs() == [0, 0, 0, 0]
    run = load_run(served.run_file())
    assert run.streams["frames"]["voltage_v"].size >= 400
    assert run.status != "done"


def test_an_address_that_another_run_holds(served: Served) -> None:
    process = served.start(*RUN, "--bench", served.path)
    under_way(process, served)
    second = served.call("run", "contact_check", "--bench", served.path, "--out", "other")
    assert second.returncode == 1
    assert f"in use by process {process.pid}" in second.stderr
    assert served.call("bench", "safe", served.path).returncode == 1
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 3
    process.communicate()
    assert not list((served.folder / "other").glob("*.h5"))


def test_other_instruments_at_the_addresses(served: Served) -> None:
    swapped = {**served.addresses, "mux": served.addresses["magnet"], "magnet": served.addresses["mux"]}
    found = served.call("run", "contact_check", "--bench", served.bench_file(swapped, "swapped.toml"))
    assert found.returncode == 1
    assert "answers as" in found.stderr
    assert "nothing else was sent to it" in found.stderr
    assert not list((served.folder / "runs").glob("*.h5"))
