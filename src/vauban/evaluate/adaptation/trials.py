"""Trials of the automatic threat: ways around what masks a gradient, each with the pilot attack that it guided."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.errors import VaubanError
from vauban.core.norms import Ball
from vauban.engine import BoundThreat
from vauban.evaluate.adaptation.probes import Pilot, pilot
from vauban.threats.auto import Way

DRAWS = (4, 16)


@dataclass(frozen=True)
class Case:
    """A network on a few images that it answers rightly.

    Attributes:
        threat: White-box.
        batch: The images.
        ball: The budget of the pilots.
        below: The network below the defences; None where it is not known.
        more: Images and answers for what is fitted.
        seed: Of random numbers.
    """

    threat: BoundThreat
    batch: Batch
    ball: Ball
    below: nn.Module | None
    more: Tensor
    seed: int

    def run(self, way: Way) -> Pilot:
        """The pilot of a way; one that fails has broken nothing."""
        bound = way.bind(self.threat.target, levels=self.threat.levels)
        bound = replace(bound, random=self.threat.random, confirm=bool(bound.sources) and not self.threat.randomised)
        return pilot(bound, self.batch, self.ball, self.seed)


@dataclass
class Trials:
    """Ways that were tried, with their pilots.

    Attributes:
        case: The network, and the images of the pilots.
        base: The pilot that a way must better: white-box, or what a card prescribes.
        more: Whether a better guide is one that breaks more images; else one that comes nearer is, too.
        tried: The ways so far.
    """

    case: Case
    base: Pilot
    more: bool = False
    tried: list[tuple[Way, Pilot]] = field(default_factory=list)

    def add(self, ways: Iterator[Way]) -> None:
        """Try ways; one that cannot be run is passed over."""
        for way in ways:
            try:
                done = self.case.run(way)
            except (VaubanError, RuntimeError, ValueError):
                continue
            if done.gradient:
                self.tried.append((way, done))

    def gains(self, done: Pilot) -> bool:
        """Whether a pilot is a better guide than the base: it breaks more, or comes a tenth nearer."""
        broken, lead = done.score
        before, at = self.base.score
        return broken > before or (not self.more and broken == before and lead > at + 0.1 * abs(at))

    def best(self) -> list[tuple[Way, Pilot]]:
        """Those that are a better guide than the base, the best first, one of each kind."""
        order = sorted((t for t in self.tried if self.gains(t[1])), key=lambda t: t[1].score, reverse=True)
        kinds: dict[str, tuple[Way, Pilot]] = {}
        for way, done in order:
            kinds.setdefault(way.label.partition("(")[0], (way, done))
        return list(kinds.values())


def combined(trials: Trials) -> None:
    """The best substitute together with the best way through the inside, where both help."""
    best = trials.best()
    rules = next((way for way, _ in best if way.label.startswith("substitute")), None)
    other = next((way for way, _ in best if way.sources), None)
    if rules is None or other is None:
        return
    both = Way(
        f"both({rules.label}+{other.label})",
        f"{rules.sentence}; {other.sentence}",
        other.sources,
        {**other.backward, **rules.backward},
        other.draws,
    )
    trials.add(iter([both]))


def more_draws(trials: Trials, random: bool) -> None:
    """More draws, until the pilot stops gaining."""
    whitebox = Way("draws()", "gradients of the network were averaged")
    best = trials.best()
    starts = [way for way, _ in best[:1] if random or way.draws > 1]
    if random:
        starts.append(whitebox)
    for start in starts:
        last = next((done.score for way, done in trials.tried if way is start), trials.base.score)
        for draws in DRAWS if random else tuple(2 * start.draws * k for k in (1, 2)):
            label = start.label[:-1] + ("," if start.label[-2] != "(" else "") + f"{draws} draws)"
            more = Way(label, f"{start.sentence}, {draws} draws a gradient", start.sources, start.backward, draws)
            before = len(trials.tried)
            trials.add(iter([more]))
            if len(trials.tried) == before or trials.tried[-1][1].score <= last:
                break
            last = trials.tried[-1][1].score
