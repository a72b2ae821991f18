"""The engine: one protocol on one bench, recorded, and safe however it ends.

Threads (docs/adr/0004-engine-threads.md): the protocol's steps run on a thread of their own, the caller's
thread watches. So a step that blocks for ever keeps neither Ctrl-C nor the safe state waiting.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from hilab.engine.claims import claim, release
from hilab.engine.costs import RunCosts, long_run_warning
from hilab.engine.notices import RunEnded, RunStarted, Subscriber
from hilab.engine.outcome import Caught, RunFailedError, RunLostError, all_verified, describe, ended_as
from hilab.engine.params import checked_params, find_protocol, with_preset
from hilab.engine.planning import dry_run as planned
from hilab.engine.protocol import Protocol, ProtocolParams
from hilab.engine.recorder import Recorder, RunLog
from hilab.engine.signals import run_heeding_signals
from hilab.engine.worker import Worker
from hilab.errors import UsageError
from hilab.roles import SafeReport
from hilab.store.names import writable_directory
from hilab.store.reader import Run, load_run
from hilab.store.writer import RunInfo, RunWriter

if TYPE_CHECKING:
    from hilab.engine.resuming import Continuation

POLL_S = 0.05
GRACE_S = 1.2  # after a request to stop a step may take so long to come back by itself
SAFE_PATIENCE_S = 10.0  # make_safe promises less for each instrument; after this it counts as not safe
LISTEN_S = 10.0  # slow subscribers may take so long to hear the end of a run that was not aborted
LAST_WAIT_S = 0.3  # for a step that the safe state has set free


@overload
def run(
    name_or_class: str | type[Protocol[Any]],
    bench: Any,
    params: Mapping[str, Any] | ProtocolParams,
    *,
    out: str | Path = ...,
    seed: int = ...,
    subscribers: Sequence[Subscriber] = ...,
    player: str | None = ...,
    preset: str | None = ...,
    dry_run: Literal[False] = ...,
) -> Run: ...
@overload
def run(
    name_or_class: str | type[Protocol[Any]],
    bench: Any,
    params: Mapping[str, Any] | ProtocolParams,
    *,
    out: str | Path = ...,
    seed: int = ...,
    subscribers: Sequence[Subscriber] = ...,
    player: str | None = ...,
    preset: str | None = ...,
    dry_run: Literal[True],
) -> dict[str, Any]: ...
def run(
    name_or_class: str | type[Protocol[Any]],
    bench: Any,
    params: Mapping[str, Any] | ProtocolParams,
    *,
    out: str | Path = "runs",
    seed: int = 0,
    subscribers: Sequence[Subscriber] = (),
    player: str | None = None,
    preset: str | None = None,
    dry_run: bool = False,
) -> Run | dict[str, Any]:
    """Run a protocol on an open bench; return the `Run` (status "done" or "aborted").

    Raises UsageError for a wrong name or parameters (all problems at once) and RunFileError where `out`
    cannot be written, both before anything starts; RunFailedError (with .run) when the protocol failed. With
    dry_run nothing is played or written: returns a dictionary of what the run would do and cost.

    player: plays every batch of this run, instead of the fastest that can. preset: a named set of the
    protocol's parameters, with `params` on top; without one a real bench gets the protocol's preset for real
    benches ("none" prevents it).
    """
    protocol_class = find_protocol(name_or_class)
    values = with_preset(protocol_class, params, preset, simulated=bench.simulated)
    with _played_by(bench, player):
        if dry_run:
            return planned(protocol_class(checked_params(protocol_class.Params, values), seed), bench)
        engine = Engine(protocol_class, bench, values, out=out, seed=seed, subscribers=subscribers)
        return run_heeding_signals(engine)


@contextmanager
def _played_by(bench: Any, player: str | None) -> Iterator[None]:
    """Everything is played by this player meanwhile (None: as it was)."""
    if player is None:
        yield
        return
    before = bench.player
    bench.always_play_with(player)
    try:
        yield
    finally:
        bench.always_play_with(before)


class Engine:
    """One run. `pause`, `resume` and `abort` may be called from any thread, also from a signal handler."""

    def __init__(
        self,
        name_or_class: str | type[Protocol[Any]],
        bench: Any,
        params: Mapping[str, Any] | ProtocolParams,
        *,
        out: str | Path = "runs",
        seed: int = 0,
        subscribers: Sequence[Subscriber] = (),
        continuing: Continuation | None = None,
    ):
        protocol_class = find_protocol(name_or_class)
        self._params = checked_params(protocol_class.Params, params)
        if seed < 0:
            raise UsageError(f"the seed must be 0 or more, got {seed}")
        self._protocol = protocol_class(self._params, seed, continuing.restored if continuing else None)
        self._continuing = continuing
        self._bench = bench
        self._out = writable_directory(out)
        self._seed = seed
        self._subscribers = tuple(subscribers)
        self._unpaused = threading.Event()
        self._unpaused.set()
        self._abort_reason = ""  # plain attributes: a signal handler must not take locks
        self._escalated = False

    # ---- from outside -----------------------------------------------------------------------------

    def pause(self) -> None:
        """Hold the run after the step that is under way."""
        self._unpaused.clear()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._unpaused.set()

    @property
    def paused(self) -> bool:
        return not self._unpaused.is_set()

    def abort(self, reason: str = "stopped by request") -> None:
        """End the run; called a second time, make the bench safe without waiting for the step."""
        self._escalated = bool(self._abort_reason)
        self._abort_reason = self._abort_reason or reason

    # ---- the run ----------------------------------------------------------------------------------

    def run(self) -> Run:
        """Run to the end; see `hilab.engine.run`. The bench is made safe and verified on every way out."""
        streams = self._protocol.streams()
        claim(self._bench)
        self._note_traffic("run", protocol=self._protocol.name, seed=self._seed, parameters=self._params)
        with Caught() as opening:
            self._protocol.check(self._bench)
            warning = long_run_warning(self._protocol, self._protocol.expected_s(self._bench))
            self._writer = self._open(self._info(), streams)
        if opening.error is not None:
            release(self._bench)
            raise opening.error
        earlier = self._continuing.checkpoint.get("costs") if self._continuing else None
        self._costs = RunCosts(self._bench, earlier)
        self._recorder = Recorder(self._writer, self._subscribers, self._bench.clock.now, self._extras)
        self._worker = Worker(self._protocol, self._bench, self._recorder.handle, self._unpaused)
        if warning:
            self._recorder.happened("warning", warning)
        with RunLog(self._writer), Caught() as watching:
            self._watch(streams)
        interrupt = watching.error
        if interrupt is not None and not self._abort_reason:
            self._abort_reason = f"interrupted: {describe(interrupt)}"
        _undisturbed(self._end)
        return self._result(interrupt)

    def _open(self, info: RunInfo, streams: Mapping[str, Any]) -> RunWriter:
        if self._continuing is not None:
            return self._continuing.open(info, streams)
        return RunWriter(self._out, info, streams)

    def _watch(self, streams: Mapping[str, Any]) -> None:
        """Until the worker comes back or the run is to stop."""
        self._bench.stop.clear()
        self._recorder.publish(
            RunStarted(self._writer.path, self._protocol.name, self._params.model_dump(mode="json"), streams)
        )
        was_paused = False
        if not self._abort_reason:
            self._worker.start()
        while not self._worker.done.wait(POLL_S) and not self._abort_reason:
            if self.paused is not was_paused:
                was_paused = self.paused
                self._recorder.happened("paused" if was_paused else "resumed", "after the step under way")

    def _end(self) -> None:
        """Stop the worker if it still runs, make the bench safe, close the file."""
        self._worker.cancel()
        came_back = self._worker.done.is_set()
        if not came_back:
            self._bench.stop.set()
            getattr(self._bench.clock, "wake", int)()
            came_back = self._wait_for_worker()
        reports = self._make_safe()
        if not came_back:
            self._worker.done.wait(LAST_WAIT_S)
            came_back = not self._worker.abandon(lambda: release(self._bench))
            if came_back:  # it may have switched something on between
                reports = self._make_safe()
        with Caught() as recording:
            self._recorder.wind_up(hurry=bool(self._abort_reason))
        error = (self._worker.error if came_back else None) or recording.error
        self._verified = all_verified(reports)
        self._status, self._reason = ended_as(error, self._abort_reason)
        with Caught() as closing:
            self._close(reports, came_back)
        if closing.error is not None:
            self._status, self._reason = "failed", describe(closing.error)
        if came_back:
            release(self._bench)
        self._note_traffic("end", status=self._status, reason=self._reason)
        self._recorder.publish(RunEnded(self._status, self._reason, reports))
        self._recorder.close(1.0 if self._abort_reason else LISTEN_S)

    def _wait_for_worker(self) -> bool:
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline and not self._escalated:
            if self._worker.done.wait(POLL_S):
                return True
        return self._worker.done.is_set()

    def _make_safe(self) -> tuple[SafeReport, ...]:
        """The bench's make_safe on a thread of its own, because a broken driver may hang."""
        found: list[SafeReport] = []

        def make_safe() -> None:
            with Caught() as caught:
                found.extend(self._bench.make_safe())
            if caught.error is not None:
                found.append(SafeReport("bench", False, describe(caught.error)))

        thread = threading.Thread(target=make_safe, name="hilab-safe", daemon=True)
        thread.start()
        thread.join(SAFE_PATIENCE_S)
        if thread.is_alive():
            return (SafeReport("bench", False, f"make_safe did not come back in {SAFE_PATIENCE_S:g} s"),)
        return tuple(found)

    def _close(self, reports: Sequence[SafeReport], came_back: bool) -> None:
        now = self._bench.clock.now()
        if self._abort_reason:
            self._writer.event("abort", self._abort_reason, now)
        if not came_back:
            self._writer.event(
                "abandoned", "the step under way did not come back; the bench was made safe around it", now
            )
        costs = self._costs.results()
        if costs:
            self._writer.results(costs)
        for plan in costs.get("plans", ()):
            self._writer.event("plan", "; ".join(plan["notes"]), now)
        for report in reports:
            kind = "safe" if report.verified else "not safe"
            self._writer.event(kind, f"{report.instrument}: {report.detail}", now)
        self._writer.finish(
            self._status,
            self._reason,
            verified_safe=self._verified,
            bench_time_s=self._recorder.elapsed_bench_s,
        )

    def _note_traffic(self, kind: str, **values: Any) -> None:
        """A line in the record of the exchanges, where one is kept."""
        traffic = getattr(self._bench, "traffic", None)
        if traffic is not None:
            plain = {
                name: value.model_dump(mode="json") if isinstance(value, ProtocolParams) else value
                for name, value in values.items()
            }
            traffic.note(kind, **plain)

    def _result(self, interrupt: BaseException | None) -> Run:
        if self._writer.failed:
            raise RunLostError(
                f"{self._protocol.name} {self._status}: {self._reason}; the run file "
                f"{self._writer.path} holds what was published until then",
                verified=self._verified,
            )
        recorded = load_run(self._writer.path)
        if recorded.status != self._status:  # the end could not be written
            recorded = dataclasses.replace(
                recorded, status=self._status, reason=self._reason, verified_safe=self._verified
            )
        error = self._worker.error
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise error
        if isinstance(interrupt, (KeyboardInterrupt, SystemExit)):
            raise interrupt
        if self._status == "failed":
            message = f"{self._protocol.name} failed: {self._reason} (run file: {recorded.path})"
            raise RunFailedError(message, recorded) from (error or interrupt)
        return recorded

    def _info(self) -> RunInfo:
        bench = self._bench
        model: Any = getattr(bench, "file", None)
        return RunInfo(
            protocol=self._protocol.name,
            parameters=self._params.model_dump(mode="json"),
            seed=self._seed,
            bench=str(bench.name),
            bench_file=_bench_text(bench),
            bench_model=model.model_dump(mode="json") if hasattr(model, "model_dump") else {},
            bench_settings=bench.settings(),
            identities={name: vars(identity) for name, identity in bench.identify().items()},
            sample=str(bench.sample),
            operator=str(bench.operator),
            note=str(bench.note),
            simulated=bool(bench.simulated),
        )

    def _extras(self) -> dict[str, Any]:
        """What a checkpoint holds beside the protocol's state."""
        return {
            "seed": self._seed,
            "parameters": self._params.model_dump(mode="json"),
            "bench_time_s": self._bench.clock.now(),
            "costs": self._costs.results(),
            "snapshot": self._bench.snapshot() if self._bench.simulated else None,
        }


def _bench_text(bench: Any) -> str:
    path = getattr(bench, "path", None)
    try:
        return Path(path).read_text(encoding="utf-8") if path else ""
    except OSError:
        return ""  # moved since; the checked model of it is stored beside


def _undisturbed(work: Callable[[], None]) -> None:
    """Do the work on another thread and wait for it, whatever the keyboard says meanwhile."""
    thread = threading.Thread(target=work, name="hilab-end")
    thread.start()
    while thread.is_alive():
        try:
            thread.join(POLL_S)
        except KeyboardInterrupt:
            continue
