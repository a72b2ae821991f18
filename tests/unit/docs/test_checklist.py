"""The checklist of the simulated instruments names tests that exist, and leaves no number out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "simulator-checklist.md"


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if "`tests/" in line]
    return [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in lines]


def test_every_number_of_the_checklist_has_its_test() -> None:
    assert {int(cells[0]) for cells in rows() if cells[0].isdecimal()} == set(range(1, 15))


@pytest.mark.parametrize("cells", rows(), ids=lambda cells: f"{cells[0]} {cells[1]}"[:60])
def test_every_test_that_is_named_is_there(cells: list[str]) -> None:
    path = ROOT / cells[2].strip("`")
    source = path.read_text(encoding="utf-8")
    for name in re.findall(r"`(test_\w+)`", cells[3]):
        assert f"def {name}(" in source, f"{path.name} has no {name}"
