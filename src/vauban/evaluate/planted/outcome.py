"""Outcome of a planted test: how many adversarial images that are known to exist an attack has found. Needs no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from vauban.core.errors import ContractError, plural
from vauban.evaluate.diagnostics.findings import LEAST, Finding, Severity
from vauban.statistics.intervals import Interval, wilson

SILENT, HALF = 0.9, 0.5
"""Shares of the planted images: from the first one on nothing is said, below the second the attack is no evidence."""
EASY = 0.02
"""Share of random points that may be adversarial: where more are, the planted images are too easy to say anything."""
MISSED, SHOWN, SILENCE = "planted-images-missed", "planted-images-found", "planted-test-not-applicable"
ADVICE = (
    "this says that the attack misses what exists, not that the number is wrong: use more steps, loss=margin, the adaptive "
    "threat (BPDA, eot) or a scores-only attack (square), and test that one"
)
Columns = dict[str, list[Any]]
"""One value for each image, see `blank`."""


def blank(ids: Sequence[int]) -> Columns:
    """Columns of images that nothing was done with yet.

    id: of the sample. dropped: why nothing was planted, "" where something was. reason: why the test does not apply at all.
    success: whether the attack found an adversarial image. random: share of random points that are adversarial.
    forwards: images that the network was asked for to plant one. spent_forwards, spent_backwards: passes of the attack.
    """
    n = len(ids)
    counts = {name: [0] * n for name in ("forwards", "spent_forwards", "spent_backwards")}
    texts = {name: [""] * n for name in ("dropped", "reason")}
    return {"id": list(ids), **texts, "success": [False] * n, "random": [0.0] * n, **counts}


@dataclass(frozen=True, repr=False)
class PlantedTest:
    """What `vauban.verify_attack` returns.

    Attributes:
        attack: The attack's name.
        planted: Images near which an adversarial image is known to exist, and that the attack was given.
        recovered: Those for which it found one inside the ball, judged on the saved image.
        random: Share of random points of the ball that are adversarial, over all planted images.
        dropped: Images that were not planted, by the reason.
        forwards: Images that the network was asked for to plant one, mean over all images that were tried.
        spent: Forward and backward passes of the attack for each planted image, mean.
        missed: Ids of the planted images for which it found none.
        reason: Why the test does not apply; "" where it does.
    """

    attack: str
    planted: int = 0
    recovered: int = 0
    random: float = 0.0
    dropped: Mapping[str, int] = field(default_factory=dict)
    forwards: float = 0.0
    spent: tuple[float, float] = (0.0, 0.0)
    missed: tuple[int, ...] = ()
    reason: str = ""

    @classmethod
    def of(cls, attack: str, columns: Mapping[str, Sequence[Any]]) -> PlantedTest:
        """The test of an attack from one value for each image, the columns of `blank`."""
        reason = next(filter(None, columns["reason"]), "")
        planted = [k for k, why in enumerate(columns["dropped"]) if not why and not reason]
        tried = sum(count > 0 for count in columns["forwards"])

        def mean(name: str) -> float:
            return sum((float(columns[name][k]) for k in planted), 0.0) / max(1, len(planted))

        return cls(
            attack,
            planted=len(planted),
            recovered=sum(bool(columns["success"][k]) for k in planted),
            random=mean("random"),
            dropped={} if reason else dict(sorted(Counter(filter(None, columns["dropped"])).items())),
            forwards=sum(columns["forwards"]) / max(1, tried),
            spent=(mean("spent_forwards"), mean("spent_backwards")),
            missed=tuple(int(columns["id"][k]) for k in planted if not columns["success"][k]),
            reason=reason,
        )

    @property
    def not_applicable(self) -> str:
        """Why the test says nothing; "" where it says something."""
        if self.reason:
            return self.reason
        if self.planted < LEAST:
            why = f" ({self._dropped})" if self.dropped else ""
            return f"{plural(self.planted, 'image')} could be planted, fewer than {LEAST}{why}"
        return f"{self.random:.1%} of random points are adversarial too, above {EASY:.0%}" if self.random > EASY else ""

    @property
    def share(self) -> float:
        """Share of the planted images for which the attack found an adversarial one; NaN where the test does not apply."""
        return float("nan") if self.not_applicable else self.recovered / self.planted

    @property
    def interval(self) -> Interval:
        """95 % Wilson interval of the share."""
        return wilson(self.recovered, self.planted)

    @property
    def severity(self) -> Severity:
        """info from 90 % on and where the test does not apply, warning below, invalid below half."""
        if self.not_applicable or self.share >= SILENT:
            return "info"
        return "warning" if self.share >= HALF else "invalid"

    @property
    def sentence(self) -> str:
        """The outcome in one sentence, without a full stop."""
        if self.not_applicable:
            return f"the planted test of {self.attack} does not apply: {self.not_applicable}"
        told = (
            f"{self.attack} found {self.recovered} of {self.planted} adversarial images known to exist "
            f"(random points find {self.random:.1%})"
        )
        meaning = {"invalid": ": its robust accuracy is no evidence", "warning": ": it misses what exists", "info": ""}
        return told + meaning[self.severity]

    @property
    def finding(self) -> Finding:
        """The outcome as a finding of a cell."""
        if self.not_applicable:
            return Finding(SILENCE, "info", f"{self.sentence}.", "name the read-out point where there is one", 0.0, 1.0)
        threshold = 1 - (HALF if self.severity == "invalid" else SILENT)
        code, advice = (SHOWN, "nothing to do") if self.severity == "info" else (MISSED, ADVICE)
        rest = f"; {self._dropped}" if self.dropped else ""
        return Finding(code, self.severity, f"{self.sentence}{rest}; {self.cost}.", advice, 1 - self.share, threshold)

    @property
    def cost(self) -> str:
        """Passes for each image, to plant and to attack, in words."""
        forwards, backwards = self.spent
        told = f"{forwards:.0f} forwards and {backwards:.0f} backwards to attack"
        return f"{self.forwards:.0f} forwards an image to plant, {told}"

    @property
    def _dropped(self) -> str:
        return ", ".join(f"{plural(count, 'image')} dropped: {why}" for why, count in self.dropped.items())

    def __repr__(self) -> str:
        if self.reason:
            return self.sentence
        low, high = self.interval
        parts = [self.sentence]
        parts += [] if self.not_applicable else [f"95 % interval {low:.0%} to {high:.0%}"]
        parts += [self._dropped] if self.dropped and not self.not_applicable else []
        return "; ".join([*parts, self.cost])

    def to_json(self) -> dict[str, Any]:
        """A dictionary of strings, numbers and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PlantedTest:
        """What `to_json` wrote. Raises ContractError on missing or unknown keys."""
        if set(data) != {f.name for f in fields(cls)}:
            raise ContractError(f"expected the outcome of a planted test, got {dict(data)}; was it edited by hand?")
        forwards, backwards = data["spent"]
        return cls(**{**data, "spent": (forwards, backwards), "missed": tuple(data["missed"])})
