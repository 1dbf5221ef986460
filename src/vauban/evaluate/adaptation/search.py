"""Search for ways around what masks the gradient of a network, on a few images: what the automatic threat does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import nn

from vauban.core.contracts import Batch
from vauban.core.losses import margin
from vauban.core.norms import Ball
from vauban.core.rng import Stream
from vauban.core.tensors import flat
from vauban.engine import BoundThreat
from vauban.evaluate.adaptation import ways
from vauban.evaluate.adaptation.calls import calls_of_submodules, classifiers
from vauban.evaluate.adaptation.modules import unsound_modules
from vauban.evaluate.adaptation.probes import IMAGES, Pilot, pilot, probes, step_of
from vauban.evaluate.adaptation.readout import readout
from vauban.evaluate.adaptation.trials import DRAWS, Case, Trials, combined, more_draws
from vauban.evaluate.adaptation.ways import called, same
from vauban.evaluate.diagnostics.findings import Finding, Measured, Rule, fired
from vauban.evaluate.diagnostics.first_look import answers_vary
from vauban.evaluate.diagnostics.preflight_probe import Probe, Unavailable
from vauban.threats.auto import Way

KEPT = 2  # ways that become cells
NOTHING = "nothing to do"
UNKNOWN = Rule(
    "no-adaptive-attack-known",
    "invalid",
    0.0,
    "a gradient that is not the function's, and nothing that does better in its place",
    "{were} left standing by a network whose gradient is not sound, and no way around it is known: what is left may be "
    "what the attack cannot see.",
    "write a card with a backward rule for what masks the gradient, or attack by scores and labels with more queries",
    least=1,
)
FAILED = Rule(
    "network-not-looked-at",
    "warning",
    0.0,
    "a look that ended before anything was seen",
    "{were} not looked at: {failed}; nothing is known of the gradient, and no way around a defence was looked for.",
    "mend what the message names, or write a card for the defence",
    least=1,
)


@dataclass(frozen=True)
class Adaptation:
    """What a look at a network gave.

    Attributes:
        seen: What is wrong with its gradient, in words; empty where nothing is.
        ways: The ways around it, the best first.
        measured: What the probes saw.
        lost: Whether something is wrong, images stood, and no way breaks more.
        stood: How many images the pilot left standing.
        sought: Whether ways were looked for.
        failed: Why nothing was seen; empty where the look came to its end.
        images: How many images a look that failed was given.
    """

    seen: tuple[str, ...] = ()
    ways: tuple[Way, ...] = ()
    measured: tuple[Measured, ...] = ()
    lost: bool = False
    stood: int = 0
    sought: bool = True
    failed: str = ""
    images: int = 0

    @property
    def findings(self) -> list[Finding]:
        """What the probes find, that no way around is known, or that nothing was seen; the gravest first."""
        blind = self.images if self.failed else 0
        unseen = FAILED.on(blind, blind, failed=self.failed)
        asked = (UNKNOWN.on(int(self.lost) * self.stood, self.stood), unseen, *self.measured)
        return fired(asked)

    @property
    def sentence(self) -> str:
        """What was seen and done."""
        if self.failed:
            return f"the look failed: {self.failed}; white-box alone was run"
        if not self.seen and not self.ways:
            return NOTHING
        none = "no way around it was found" if self.lost else "a short attack broke every image as it is"
        done = "; ".join([*((none,) if self.lost else ()), *(way.sentence for way in self.ways)]) or none
        return "; ".join([*self.seen, done])


def look(
    network: nn.Module,
    batch: Batch,
    ball: Ball,
    *,
    below: nn.Module | None = None,
    levels: int | None = 256,
    seed: int = 0,
    seek: bool = True,
    card: BoundThreat | None = None,
) -> Adaptation:
    """Look at a network on some images as an attacker without a card does.

    Where there is a card, the gradient of its rules is probed. As long as that is sound nothing more is done; else ways are
    sought that break more than the card's rules do. That none does is no finding: a card is a known way.

    Args:
        network: The network, defences included.
        batch: Images; the first `IMAGES` that it answers rightly are attacked, all serve what is fitted.
        ball: The budget of the pilot attacks.
        below: The network below the defences; None where it is not known.
        levels: Pixel levels that the network is shown.
        seed: Of random numbers.
        seek: Whether ways around are looked for; else the probes alone speak.
        card: The adaptive threat of a network with a card; None: there is none, or it is not to be read.
    """
    random = answers_vary(network, batch.x[:8])
    threat = BoundThreat(network, "white-box", levels=levels, random=random)
    logits, calls = calls_of_submodules(network, batch.x, seed)
    right = (logits.argmax(1) == batch.y).nonzero().squeeze(1)[:IMAGES]
    if not len(right):
        nothing = "expected images that it answers rightly, got none"
        return Adaptation(sought=seek, failed=nothing, images=len(batch.x))
    few = Batch(batch.x[right], batch.y[right], batch.ids[right], batch.levels)
    case = Case(threat, few, ball, below, batch.x, seed)
    guide = threat if card is None else replace(card, random=random)
    base = pilot(guide, few, ball, seed)
    measured = [] if random else probes(guide, few, ball, base, seed)
    if card is not None and not any(m.fires for m in measured):
        return Adaptation(sought=False)
    if not seek:
        return Adaptation(measured=tuple(measured), sought=False)
    inside = classifiers(calls, logits, len(batch.x))
    signs = Stream(seed, batch.ids).signs("look", tuple(batch.x.shape[1:]), dtype=batch.x.dtype)
    _, moved = calls_of_submodules(network, (batch.x + step_of(base, ball, few.x) * signs).clamp(0, 1), seed)
    wrong = unsound_modules(calls, moved, inside, seed)
    whole = [] if card is not None else _whole(threat, few, base, seed)
    seen = [*whole, *(f"{called(call)} {what}" for call, what in wrong)]
    seen += ["two answers to one image differ"] if random else []
    seen += [m.finding().message.rstrip(".") for m in measured if m.fires]
    apart = [call for call in inside if not same(call.output, logits)]
    standing = bool((~base.broken).any())
    if not standing or not (seen or apart):
        return Adaptation(tuple(seen), (), tuple(measured))
    trials = Trials(case, base, more=card is not None)
    trials.add(ways.inner(case, inside, logits, seen))
    if seen:
        trials.add(ways.substituted(case, wrong))
        trials.add(ways.smoothed(case, base))
        trials.add(ways.below(case))
        if not inside:
            trials.add(readout(case.threat.target, calls, logits, case.more, few.x))
    combined(trials)
    more_draws(trials, random)
    best = [way for way, _ in trials.best()[:KEPT]]
    if card is not None:
        return Adaptation(tuple(seen), tuple(best), sought=bool(best), stood=int((~base.broken).sum()))
    if random and not best:  # what everybody would do
        best = [Way(f"draws({DRAWS[-1]} draws)", f"gradients were averaged over {DRAWS[-1]} draws", draws=DRAWS[-1])]
    lost = bool(seen) and not best
    if lost and not base.gradient and not inside:
        best = ways.distilled(batch, logits.shape[1])
    return Adaptation(tuple(seen), tuple(best), tuple(measured), lost, int((~base.broken).sum()))


def _whole(threat: BoundThreat, batch: Batch, base: Pilot, seed: int) -> Iterator[str]:
    """What is wrong with the gradient of the whole network."""
    if not base.gradient:
        yield "the network has no gradient in the image"
        return
    gradients = Probe(threat, batch.x, base.goal, seed).gradients(batch.x, margin)
    if isinstance(gradients, Unavailable):
        yield f"the network has no gradient in the image: {gradients.cause}"
        return
    g = gradients[0]
    if float((flat(g.nan_to_num()) == 0).all(1).double().mean()) > 0.5:
        yield "the gradient of the network is zero"
    elif not bool(g.isfinite().all()):
        yield "the gradient of the network is not finite"
