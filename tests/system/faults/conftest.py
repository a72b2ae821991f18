"""Commands on simulated benches whose links are broken on purpose, and the twin for a look at the truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import hilab.bench
from hilab.bench import opening, panic
from hilab.cli.main import run_cli


@dataclass
class Said:
    """What a command said: exit code, both outputs, the document of --json (None without)."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    def sentence(self) -> str:
        """The one sentence on stderr."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("hilab: ")
        return lines[0]


Hilab = Callable[..., Said]


@dataclass
class Twin:
    """The simulated bench of the last command.

    at_first(twin) is called before the first message, at_run(twin) when the bench was opened.
    """

    bench: Any = None
    at_first: Callable[[Any], None] = lambda twin: None
    at_run: Callable[[Any], None] = lambda twin: None
    opening: dict[str, int] = field(default_factory=dict)

    def faults(self, name: str) -> Any:
        return self.bench.visa_library.link_faults(self.bench.addresses[name])

    def exchanges(self) -> dict[str, int]:
        """Messages to each instrument since the bench was opened."""
        return {
            name: self.faults(name).exchanges - self.opening.get(name, 0) for name in self.bench.addresses
        }

    def live(self, later_s: float = 0.0) -> list[str]:
        """Source terminals that drive a current, or hold their output on, so much later."""
        world = self.bench.world
        self.bench.clock.sleep(later_s)
        world.advance(self.bench.clock.now())
        return sorted(
            name
            for name, level in world._levels.items()
            if (level.connected and level.value != 0) or world.source_state(name)[1] != 0
        )


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> Twin:
    """Whatever bench is opened from now on is kept here, armed before the first message."""
    kept = Twin()
    real, real_open = opening.open_twin, hilab.bench.open_bench

    def open_twin(*given: Any) -> Any:
        kept.bench = real(*given)
        kept.opening = {}
        kept.at_first(kept)
        return kept.bench

    def open_bench(*given: Any, **named: Any) -> Any:
        opened = real_open(*given, **named)
        kept.opening = kept.exchanges()
        kept.at_run(kept)
        return opened

    monkeypatch.setattr(opening, "open_twin", open_twin)
    monkeypatch.setattr(panic, "open_twin", open_twin)
    monkeypatch.setattr(hilab.bench, "open_bench", open_bench)
    return kept


@pytest.fixture(name="hilab")
def hilab_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Hilab:
    """Runs a command in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def command(*arguments: object) -> Said:
        capsys.readouterr()
        code = run_cli([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Said(code, out, err)

    return command
