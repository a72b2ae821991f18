"""Who may use an instrument: HiSLIP's exclusive and shared locks, by session."""

from __future__ import annotations

import threading
from enum import IntEnum


class LockAnswer(IntEnum):
    """Control codes of AsyncLockResponse."""

    FAILURE = 0
    SUCCESS = 1
    SUCCESS_SHARED = 2
    ERROR = 3


class Locks:
    """The locks of one instrument. A session may hold the shared lock, the exclusive one, or both."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._exclusive: object = None
        self._shared: set[object] = set()
        self._key = b""

    def may_use(self, session: object) -> bool:
        """False while somebody else's lock keeps this session out."""
        with self._changed:
            return self._free_for(session)

    def request(self, session: object, key: bytes, timeout_s: float) -> LockAnswer:
        """Wait up to timeout_s for a lock: exclusive without a key, shared by all who name the same key."""
        with self._changed:
            if (key and session in self._shared) or (not key and self._exclusive is session):
                return LockAnswer.ERROR  # it has it already
            if not self._changed.wait_for(lambda: self._can_have(session, key), timeout_s):
                return LockAnswer.FAILURE
            if key:
                self._key = key
                self._shared.add(session)
            else:
                self._exclusive = session
            return LockAnswer.SUCCESS

    def release(self, session: object) -> LockAnswer:
        """Give the exclusive lock back, or without one the shared lock."""
        with self._changed:
            if self._exclusive is session:
                self._exclusive = None
                answer = LockAnswer.SUCCESS
            elif session in self._shared:
                self._shared.discard(session)
                answer = LockAnswer.SUCCESS_SHARED
            else:
                return LockAnswer.ERROR
            self._changed.notify_all()
            return answer

    def leave(self, session: object) -> None:
        """The session is over: whatever it held is free."""
        while self.release(session) is not LockAnswer.ERROR:
            pass

    def info(self) -> tuple[bool, int]:
        """(an exclusive lock is held, how many sessions hold locks)."""
        with self._changed:
            holders = self._shared | ({self._exclusive} if self._exclusive is not None else set())
            return self._exclusive is not None, len(holders)

    def _free_for(self, session: object) -> bool:
        if self._exclusive is not None:
            return self._exclusive is session
        return not self._shared or session in self._shared

    def _can_have(self, session: object, key: bytes) -> bool:
        if self._exclusive not in (None, session):
            return False
        if key:
            return not self._shared or key == self._key
        return not self._shared or session in self._shared
