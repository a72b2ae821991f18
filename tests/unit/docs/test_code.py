"""The code of the documentation runs as it stands: files are written, registered and used."""

from __future__ import annotations

import importlib
import re
import runpy
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from hilab.cli.main import run_cli
from hilab.paths import data_dir

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


def named(page: Path, language: str) -> dict[str, str]:
    """File name in the first line's comment -> text."""
    return {text.partition("\n")[0].removeprefix("# "): text for text in blocks(page, language)}


@pytest.fixture
def installed(
    request: pytest.FixtureRequest, docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """The page's files as an installed distribution; the working directory is an empty folder."""
    page = docs / "how-to" / request.param
    site = tmp_path / "site"
    project = tomllib.loads(named(page, "toml")["pyproject.toml"])["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    files = named(page, "python")
    for name, text in files.items():
        (site / name).write_text(text, encoding="utf-8")
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {place}" for name, place in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    yield page
    for name in files:
        sys.modules.pop(Path(name).stem, None)


def run_console(page: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Every command of the page's console blocks; what they printed on stdout."""
    commands = [line for text in blocks(page, "console") for line in text.splitlines()]
    assert commands
    capsys.readouterr()
    for line in commands:
        program, *arguments = shlex.split(line)
        assert program == "hilab"
        code = run_cli(arguments)
        assert code == 0, (line, capsys.readouterr().err)
    return capsys.readouterr().out


@pytest.mark.parametrize("installed", ["write-a-protocol.md"], indirect=True)
def test_write_a_protocol(installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = runpy.run_path(str(tmp_path / "site" / "try_it.py"))
    assert found["run"].status == "done"
    assert found["run"].results["opening_ohm"] == pytest.approx(1.0, abs=0.3)  # R_AHE 1 ohm, drawn with 5 %
    assert "amplitude of both write pulses" in run_console(installed, capsys)


@pytest.mark.parametrize("installed", ["write-a-driver.md"], indirect=True)
def test_write_a_driver(installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = (data_dir() / "benches" / "sot_fast.toml").read_text(encoding="utf-8")
    assert example.count('"kepco_bop"') == 1
    (tmp_path / "my_bench.toml").write_text(example.replace("kepco_bop", "acme_cc10"), encoding="utf-8")
    assert "CC-10" in run_console(installed, capsys)


def test_the_readers_example_of_a_run_file(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tutorial's script, and the code of the run-file page on what it leaves behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["first_characterisation.py", str(tmp_path)])
    runpy.run_path(str(docs / "tutorials" / "first_characterisation.py"), run_name="__main__")
    path = next(tmp_path.glob("*_switching_probability_*.h5"))
    (code,) = blocks(docs / "reference" / "run-file.md", "python")
    found: dict[str, object] = {"path": path}
    script = tmp_path / "read.py"
    script.write_text(code, encoding="utf-8")
    found = runpy.run_path(str(script), init_globals=found)
    assert found["run"].status == "done"
