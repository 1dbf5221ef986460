"""Results of an inspection: of each file, fact and image whether it agrees, differs, or could not be checked, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from vauban.core.errors import plural

State = Literal["agrees", "differs", "unchecked"]
SUBJECTS = {
    "rows": "file",
    "sources": "file",
    "weights": "network",
    "data": "data set",
    "environment": "version",
    "images": "image",
}
"""What is checked, in the order in which it is told, and what is counted of it."""
FORMAT = 1
"""Version of the JSON form."""


@dataclass(frozen=True)
class Checked:
    """What was checked of one thing.

    Attributes:
        subject: One of `SUBJECTS`.
        about: The thing: a file relative to the run, a package, a network, a cell.
        state: What came of it.
        reason: Why it differs or could not be checked, a sentence; "" where it agrees.
        count: How many of the subject's units it is about.
    """

    subject: str
    about: str
    state: State
    reason: str = ""
    count: int = 1


@dataclass(frozen=True)
class Inspection:
    """Everything that was checked of a run.

    Attributes:
        run: The run directory or the bundle.
        seal: SHA-256 over the names and digests of the run's files as they are now; two copies of one run have the same.
        checks: What was checked.
    """

    run: str
    seal: str
    checks: tuple[Checked, ...]

    def in_other_environment(self) -> Inspection:
        """The same, where other versions are told and are no difference."""
        checks = (
            replace(check, state="unchecked") if check.subject == "environment" and check.state == "differs" else check
            for check in self.checks
        )
        return replace(self, checks=tuple(checks))

    def sealed(self, seal: str) -> Inspection:
        """The same, beside the seal that the run should have."""
        same = self.seal == seal.strip().lower()
        check = Checked(
            "rows", "seal", "agrees" if same else "differs", "" if same else f"expected {seal}, got {self.seal}"
        )
        return replace(self, checks=(*self.checks, check))

    def of(self, state: State) -> list[Checked]:
        """The checks that ended in a state."""
        return [check for check in self.checks if check.state == state]

    @property
    def differs(self) -> bool:
        """Whether anything differs from what the run recorded."""
        return bool(self.of("differs"))

    def counted(self, subject: str, state: State) -> int:
        """How many units of a subject ended in a state."""
        return sum(check.count for check in self.checks if check.subject == subject and check.state == state)

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON, `format` its version."""

        def told(check: Checked) -> dict[str, Any]:
            return {"subject": check.subject, "about": check.about, "reason": check.reason, "count": check.count}

        return {
            "format": FORMAT,
            "run": self.run,
            "seal": self.seal,
            "agrees": {subject: self.counted(subject, "agrees") for subject in SUBJECTS},
            "differs": [told(check) for check in self.of("differs")],
            "unchecked": [told(check) for check in self.of("unchecked")],
        }

    def sentences(self) -> list[str]:
        """A line for each subject, one for each difference and for each reason why something was not checked."""
        lines = [line for subject, unit in SUBJECTS.items() if (line := self._counts(subject, unit))]
        heads: tuple[tuple[State, str], ...] = (("differs", "differs"), ("unchecked", "not checked"))
        for state, head in heads:
            lines += [f"{head}: {line}" for line in _grouped(self.of(state))]
        return [*lines, f"seal {self.seal}"]

    def _counts(self, subject: str, unit: str) -> str:
        counts: list[tuple[State, str]] = [("agrees", "agree"), ("differs", "differ"), ("unchecked", "not checked")]
        told: list[str] = []
        for state, verb in counts:
            if n := self.counted(subject, state):
                counted = plural(n, unit) if not told else str(n)
                told.append(f"{counted} {'agrees' if verb == 'agree' and n == 1 else verb}")
        return f"{subject:<12} {', '.join(told)}" if told else ""


def _grouped(checks: Sequence[Checked]) -> Iterator[str]:
    """One line for each reason, with the first thing that it is true of and the number of others."""
    about: dict[tuple[str, str], list[str]] = {}
    for check in checks:
        about.setdefault((check.subject, check.reason), []).append(check.about)
    for (subject, reason), things in about.items():
        more = f" and {len(things) - 1} more" if len(things) > 1 else ""
        yield f"{subject} {things[0]}{more}: {reason}"
