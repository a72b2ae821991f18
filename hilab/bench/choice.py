"""Which player plays a batch, and why, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hilab.frames import FramePlan


@dataclass(frozen=True)
class Choice:
    """The player that plays a batch, and what became of the others.

    duration_s: bench time of every player that can play it; refused: why others cannot, by player (their
    reasons, or the bench's why it cannot host them); asked: the user named the player.
    """

    player: str
    frames: int
    duration_s: Mapping[str, float]
    refused: Mapping[str, tuple[str, ...]]
    asked: bool = False

    @property
    def why(self) -> str:
        """One sentence: which player, how much faster than the next, and why others were refused."""
        own_s = self.duration_s[self.player]
        said = f"{self.player} plays {self.frames} frames in {_seconds(own_s)}"
        others = sorted((seconds, name) for name, seconds in self.duration_s.items() if name != self.player)
        if self.asked:
            said += ", as was asked for"
        elif others:
            next_s, name = others[0]
            said += f", {next_s / own_s:.3g} times faster than {name} ({_seconds(next_s)})"
        else:
            said += ", and is the only one that can"
        return said + "".join(f"; {refusal}" for refusal in self._refusals())

    def _refusals(self) -> list[str]:
        """Players with the same reasons together."""
        by_reason: dict[str, list[str]] = {}
        for name, reasons in self.refused.items():
            text = reasons[0] + (f" (and {len(reasons) - 1} more reasons)" if len(reasons) > 1 else "")
            by_reason.setdefault(text, []).append(name)
        return [f"{', '.join(names)}: refused, {text}" for text, names in by_reason.items()]


def chosen(
    plans: Mapping[str, FramePlan], refused: Mapping[str, tuple[str, ...]], asked: str | None
) -> Choice:
    """The fastest of these plans, of one batch."""
    duration_s = {name: plan.duration_s for name, plan in plans.items()}
    best = min(duration_s, key=lambda name: duration_s[name])
    return Choice(best, len(plans[best].batch), duration_s, refused, asked is not None)


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1e-2 else f"{seconds * 1e3:.3g} ms"
