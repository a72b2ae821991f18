"""What can go wrong, in words for the person at the bench: what, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence


class HilabError(Exception):
    """Base of every expected failure; the command line prints its text and exits with 1."""


class UsageError(HilabError):
    """A request that cannot be meant so (unknown name, value of the wrong type); exit code 2.

    problems holds every problem found, one sentence each.
    """

    def __init__(self, problems: str | Sequence[str]):
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class BenchFileError(UsageError):
    """The bench file cannot be used."""


class BenchError(HilabError):
    """The bench cannot be opened or an instrument does not do what it is told."""


class RunFileError(HilabError):
    """A run file is missing, damaged or of another kind."""


class DataFileError(HilabError):
    """An input data file (IDX ...) is missing, damaged or of another kind."""


class Aborted(Exception):  # noqa: N818 (an order that was followed, not an error)
    """The run was told to stop. Raised inside a protocol's steps, caught by the engine."""
