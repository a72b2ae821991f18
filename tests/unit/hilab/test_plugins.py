"""Plug-ins are found by entry point, and only modules of the registering distribution are loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hilab import plugins
from hilab.errors import UsageError

SHADOW = 'raise SystemExit("the wrong folder was imported")\n'


def test_our_own_drivers_are_found_and_loaded() -> None:
    assert "keithley7001" in plugins.names(plugins.DRIVERS)
    assert plugins.load(plugins.DRIVERS, "keithley7001").model_pattern == "7001"


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("group", "name"),
    [
        (plugins.DRIVERS, "lab_source"),
        (plugins.PLAYERS, "lab"),
        (plugins.SIM_BENCHES, "lab"),
        (plugins.PROTOCOLS, "blink"),
    ],
)
def test_a_laboratorys_distribution_is_an_equal(group: str, name: str) -> None:
    assert name in plugins.names(group)
    assert plugins.load(group, name).__module__ == "labkit"


def test_an_unknown_name_lists_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no driver 'keithley7002', did you mean 'keithley7001'.*kepco_bop"):
        plugins.load(plugins.DRIVERS, "keithley7002")


def test_a_distribution_without_a_record_owns_what_lies_beside_it(site: Path) -> None:
    (site / "labkit-1.0.dist-info" / "RECORD").unlink()
    assert plugins.load(plugins.DRIVERS, "lab_source").__module__ == "labkit"


def test_a_module_of_another_folder_is_refused_and_not_imported(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "labkit.py").write_text(SHADOW, encoding="utf-8")
    monkeypatch.syspath_prepend(str(other))
    with pytest.raises(plugins.PluginError, match=r"lab_source.*labkit would be loaded from .*other"):
        plugins.load(plugins.DRIVERS, "lab_source")


def test_two_distributions_with_one_name_are_refused(site: Path) -> None:
    twin = site / "twinkit-1.0.dist-info"
    twin.mkdir()
    (twin / "METADATA").write_text("Metadata-Version: 2.1\nName: twinkit\nVersion: 1.0\n", encoding="utf-8")
    (twin / "entry_points.txt").write_text("[hilab.drivers]\nlab_source = labkit:Source\n", encoding="utf-8")
    with pytest.raises(plugins.PluginError, match="labkit, twinkit"):
        plugins.load(plugins.DRIVERS, "lab_source")


@pytest.mark.parametrize("wrong", ["labkit:Nothing", "labkit_gone:Source"])
def test_what_cannot_be_imported_is_said_in_one_sentence(site: Path, wrong: str) -> None:
    (site / "labkit-1.0.dist-info" / "entry_points.txt").write_text(
        f"[hilab.drivers]\nbroken = {wrong}\n", encoding="utf-8"
    )
    with pytest.raises(plugins.PluginError, match=r"'broken'.*cannot be imported"):
        plugins.load(plugins.DRIVERS, "broken")


@pytest.mark.parametrize("package", ["drivers", "protocols"])
def test_a_users_own_folder_does_not_shadow_ours(tmp_path: Path, package: str) -> None:
    """`python -m hilab` puts the working directory first on sys.path."""
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").write_text(SHADOW, encoding="utf-8")
    group = {"drivers": plugins.DRIVERS, "protocols": plugins.PROTOCOLS}[package]
    code = (
        f"from hilab import plugins\n"
        f"for name in plugins.names({group!r}):\n"
        f"    try: plugins.load({group!r}, name)\n"
        f"    except plugins.PluginError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "which does not belong to hilab" in done.stdout
    assert len(done.stdout.splitlines()) == len(plugins.names(group))
