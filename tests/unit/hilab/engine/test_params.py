"""Parameters: every problem at once, one sentence each."""

from __future__ import annotations

import pytest

from hilab.engine import run
from hilab.engine.params import checked_params, unit_of
from hilab.errors import UsageError


def test_all_problems_are_told_at_once_each_with_place_and_meaning(bench, walk, tmp_path):
    with pytest.raises(UsageError) as wrong:
        run(walk, bench, {"stpes": 3, "write_a": -1, "steps": "many", "fail_at": 1.5}, out=tmp_path / "runs")
    problems = {text.split("'")[1]: text for text in wrong.value.problems}
    assert "did you mean 'steps'?" in problems["stpes"]
    assert "input should be greater than 0 (Write amplitude, in ampere)" in problems["write_a"]
    assert "is 'many': input should be a valid integer" in problems["steps"]
    assert len(wrong.value.problems) == 4
    assert not (tmp_path / "runs").exists()


def test_unknown_protocol_names_the_known_ones(bench):
    with pytest.raises(UsageError, match="switching_probability"):
        run("switching_probabilty", bench, {})


def test_what_is_no_protocol_is_refused(bench):
    with pytest.raises(UsageError, match="is not a protocol"):
        run(dict, bench, {})


def test_text_from_the_command_line_becomes_numbers(walk):
    assert checked_params(walk.Params, {"steps": "7", "write_a": "2e-3"}).steps == 7


@pytest.mark.parametrize(
    ("name", "unit"), [("write_a", "ampere"), ("width_s", "seconds"), ("trials", ""), ("a", "")]
)
def test_the_unit_is_read_from_the_name(name, unit):
    assert unit_of(name) == unit
