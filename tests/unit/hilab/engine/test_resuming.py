"""Resume on a simulated bench: the result of an undisturbed run, the old file kept."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from hilab.engine import RunFailedError, resume, run
from hilab.errors import UsageError
from hilab.store import load_run


@pytest.fixture
def crashed(bench, walk, tmp_path):
    """A run that failed at step 27, its last checkpoint at step 20."""

    def failing(self, bench):
        raise OSError("power cut")

    class Failing(walk):
        block = failing

    with pytest.raises(RunFailedError) as failed:
        run(Failing, bench, {"steps": 50, "block_at": 27}, out=tmp_path, seed=4)
    return failed.value.run.path


@pytest.fixture
def registered(walk, monkeypatch):
    class Gone(walk):
        def block(self, bench):
            return

    monkeypatch.setattr("hilab.engine.resuming.find_protocol", lambda name: Gone)
    return Gone


def test_a_resumed_run_equals_an_undisturbed_one(bench, registered, crashed, tmp_path):
    undisturbed = run(
        registered, type(bench)(), {"steps": 50, "block_at": 27}, out=tmp_path / "other", seed=4
    )
    before = crashed.read_bytes()
    resumed = resume(crashed, type(bench)())
    assert (resumed.path, resumed.status) == (crashed, "done")
    for column in ("step", "x_m"):
        np.testing.assert_array_equal(resumed.streams["walk"][column], undisturbed.streams["walk"][column])
    assert resumed.results == undisturbed.results
    kept = crashed.with_name(crashed.name + ".crashed")
    assert kept.read_bytes() == before
    assert resumed.about["resumed_from"] == kept.name
    assert resumed.events[0]["text"] == f"from checkpoint 2 of {kept.name}"


def test_what_cannot_be_gone_on_with_is_refused_and_left_alone(bench, registered, crashed, monkeypatch):
    before = crashed.read_bytes()
    monkeypatch.setattr(bench, "simulated", False)
    with pytest.raises(UsageError, match="real devices cannot be put back"):
        resume(crashed, bench)
    monkeypatch.setattr(bench, "simulated", True)
    monkeypatch.setattr(bench, "sample", "chip-2")
    with pytest.raises(UsageError, match="sample 'chip-1'"):
        resume(crashed, bench)
    monkeypatch.setattr(registered, "resumable", False)
    with pytest.raises(
        UsageError, match="walk cannot go on from its last checkpoint: the protocol does not say"
    ):
        resume(crashed, bench)
    assert crashed.read_bytes() == before


def test_a_run_that_is_done_or_has_no_checkpoint_is_refused(bench, registered, tmp_path):
    with pytest.raises(UsageError, match="it is done"):
        resume(run(registered, bench, {"steps": 5}, out=tmp_path).path, bench)
    with pytest.raises(RunFailedError) as failed:
        run(registered, bench, {"fail_at": 3}, out=tmp_path)
    with pytest.raises(UsageError, match="no checkpoint"):
        resume(failed.value.run.path, bench)


def test_if_the_copy_fails_the_old_file_is_put_back(bench, registered, crashed, monkeypatch):
    before = crashed.read_bytes()

    def broken(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr("hilab.engine.resuming._copy", broken)
    with pytest.raises(Exception, match="left as it was: OSError: disk full"):
        resume(crashed, bench)
    assert crashed.read_bytes() == before
    assert [path.name for path in crashed.parent.iterdir()] == [crashed.name]


def test_a_copy_of_the_crashed_file_can_be_resumed_too(bench, registered, crashed, tmp_path):
    copy = tmp_path / "copy.h5"
    shutil.copy(crashed, copy)
    assert resume(copy, bench).path == copy
    assert load_run(copy).status == "done"
