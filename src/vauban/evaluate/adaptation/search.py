"""Search for ways around what masks the gradient of a network, on a few images: what the automatic threat does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.errors import VaubanError
from vauban.core.losses import margin
from vauban.core.norms import Ball
from vauban.core.rng import Stream
from vauban.core.tensors import flat
from vauban.engine import BoundThreat, Oracle
from vauban.evaluate.adaptation.calls import Call, calls_of_submodules, classifiers
from vauban.evaluate.adaptation.modules import unsound_modules
from vauban.evaluate.adaptation.probes import IMAGES, Pilot, pilot, probes, step_of
from vauban.evaluate.adaptation.readout import readout
from vauban.evaluate.adaptation.substitutes import menu
from vauban.evaluate.diagnostics.findings import Finding, Measured, Rule, fired
from vauban.evaluate.diagnostics.first_look import answers_vary
from vauban.evaluate.diagnostics.preflight_probe import Probe, Unavailable
from vauban.threats.auto import Way
from vauban.threats.inside import InnerClassifier, Noisy, StraightThrough, carrier

INNER = 3  # classifiers inside that are tried
DRAWS = (4, 16)
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


@dataclass(frozen=True)
class Adaptation:
    """What a look at a network gave.

    Attributes:
        seen: What is wrong with its gradient, in words; empty where nothing is.
        ways: The ways around it, the best first.
        measured: What the probes saw.
        lost: Whether something is wrong, images stood, and no way breaks more.
        stood: How many images the pilot left standing.
    """

    seen: tuple[str, ...] = ()
    ways: tuple[Way, ...] = ()
    measured: tuple[Measured, ...] = ()
    lost: bool = False
    stood: int = 0

    @property
    def findings(self) -> list[Finding]:
        """What the probes find, and that no way around is known; the gravest first."""
        asked = (UNKNOWN.on(int(self.lost) * self.stood, self.stood), *self.measured)
        return fired(asked)

    @property
    def sentence(self) -> str:
        """What was seen and done."""
        if not self.seen and not self.ways:
            return NOTHING
        done = "; ".join(way.sentence for way in self.ways) or "no way around it was found"
        return "; ".join([*self.seen, done])


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
    """Ways that were tried, with their pilots."""

    case: Case
    base: Pilot
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
        """Whether a pilot is a better guide than white-box: it breaks more, or comes a tenth nearer."""
        broken, lead = done.score
        before, at = self.base.score
        return broken > before or (broken == before and lead > at + 0.1 * abs(at))

    def best(self) -> list[tuple[Way, Pilot]]:
        """Those that are a better guide than white-box, the best first, one of each kind."""
        order = sorted((t for t in self.tried if self.gains(t[1])), key=lambda t: t[1].score, reverse=True)
        kinds: dict[str, tuple[Way, Pilot]] = {}
        for way, done in order:
            kinds.setdefault(way.label.partition("(")[0], (way, done))
        return list(kinds.values())


def look(
    network: nn.Module,
    batch: Batch,
    ball: Ball,
    *,
    below: nn.Module | None = None,
    levels: int | None = 256,
    seed: int = 0,
) -> Adaptation:
    """Look at a network on some images as an attacker without a card does.

    Args:
        network: The network, defences included.
        batch: Images; the first `IMAGES` that it answers rightly are attacked, all serve what is fitted.
        ball: The budget of the pilot attacks.
        below: The network below the defences; None where it is not known.
        levels: Pixel levels that the network is shown.
        seed: Of random numbers.
    """
    random = answers_vary(network, batch.x[:8])
    threat = BoundThreat(network, "white-box", levels=levels, random=random)
    logits, calls = calls_of_submodules(network, batch.x, seed)
    right = (logits.argmax(1) == batch.y).nonzero().squeeze(1)[:IMAGES]
    if not len(right):
        return Adaptation()
    few = Batch(batch.x[right], batch.y[right], batch.ids[right], batch.levels)
    case = Case(threat, few, ball, below, batch.x, seed)
    base = pilot(threat, few, ball, seed)
    goal = Oracle.open(threat, few.x, few.y, None, few.ids, seed).goal
    measured = [] if random else probes(threat, few, ball, base, goal, seed)
    inside = classifiers(calls, logits, len(batch.x))
    signs = Stream(seed, batch.ids).signs("look", tuple(batch.x.shape[1:]), dtype=batch.x.dtype)
    _, moved = calls_of_submodules(network, (batch.x + step_of(base, ball, few.x) * signs).clamp(0, 1), seed)
    wrong = unsound_modules(calls, moved, inside, seed)
    seen = [*_whole(threat, few, goal, base, seed), *(f"{_called(call)} {what}" for call, what in wrong)]
    seen += ["two answers to one image differ"] if random else []
    seen += [m.finding().message for m in measured if m.fires]
    apart = [call for call in inside if not _same(call.output, logits)]
    standing = bool((~base.broken).any())
    if not standing or not (seen or apart):
        return Adaptation(tuple(seen), (), tuple(measured))
    trials = Trials(case, base)
    trials.add(_inner(case, inside, logits, seen))
    if seen:
        trials.add(_substituted(case, wrong))
        trials.add(_smoothed(case, base))
        trials.add(_below(case))
        if not inside:
            trials.add(readout(case.threat.target, calls, logits, case.more, few.x))
    _combined(trials)
    _more_draws(trials, random)
    ways = [way for way, _ in trials.best()[:KEPT]]
    if random and not ways:  # what everybody would do
        ways = [Way(f"draws({DRAWS[-1]} draws)", f"gradients were averaged over {DRAWS[-1]} draws", draws=DRAWS[-1])]
    return Adaptation(tuple(seen), tuple(ways), tuple(measured), bool(seen) and not ways, int((~base.broken).sum()))


def _whole(threat: BoundThreat, batch: Batch, goal: object, base: Pilot, seed: int) -> Iterator[str]:
    """What is wrong with the gradient of the whole network."""
    if not base.gradient:
        yield "the network has no gradient in the image"
        return
    gradients = Probe(threat, batch.x, goal, seed).gradients(batch.x, margin)  # type: ignore[arg-type]
    if isinstance(gradients, Unavailable):
        yield f"the network has no gradient in the image: {gradients.cause}"
        return
    g = gradients[0]
    if float((flat(g.nan_to_num()) == 0).all(1).double().mean()) > 0.5:
        yield "the gradient of the network is zero"
    elif not bool(g.isfinite().all()):
        yield "the gradient of the network is not finite"


def _called(call: Call) -> str:
    return f"{type(call.module).__name__} ({call.name})"


def _same(output: Tensor, logits: Tensor) -> bool:
    return output.shape == logits.shape and torch.allclose(output, logits, rtol=1e-4, atol=1e-5)


def _inner(case: Case, inside: list[Call], logits: Tensor, seen: list[str]) -> Iterator[Way]:
    """Classifiers inside as objectives, and the operations before them passed straight through."""
    whole = case.threat.target
    for call in inside[:INNER]:
        name, apart = _called(call), not _same(call.output, logits)
        fits = carrier(case.more, call.given) is not None
        moved = bool(seen) or not fits or call.given.shape != case.more.shape or not torch.equal(call.given, case.more)
        for only in (None, call.times - 1) if call.times > 1 else (None,):
            which = call.name if only is None else f"{call.name},last call"
            said = f"what stands before {name} was passed straight through (identity)"
            if apart:
                plain, straight = (InnerClassifier(whole, call.name, through, only) for through in (False, True))
                yield Way(f"inner({which})", f"{name} inside was attacked", ((plain, 1.0),))
                if fits and moved:
                    yield Way(f"inner-straight({which})", f"{said}, and {name} was attacked", ((straight, 1.0),))
            if fits and moved:
                yield Way(f"straight({which})", said, ((StraightThrough(whole, call.name, only), 1.0),))
    if len(inside) > 1:
        sources = tuple((InnerClassifier(whole, call.name, False), 1 / len(inside)) for call in inside)
        yield Way("inner-all()", f"all {len(inside)} classifiers inside were attacked together", sources)


def _substituted(case: Case, wrong: list[tuple[Call, str]]) -> Iterator[Way]:
    """One kind of substitute for all unsound submodules of one class."""
    classes: dict[type, list[Call]] = {}
    for call, _ in wrong:
        classes.setdefault(type(call.module), []).append(call)
    for kind, calls in classes.items():
        menus = [dict(menu(call.given, call.output)) for call in calls]
        for name in menus[0]:
            if all(name in other for other in menus):
                backward = {call.module: rules[name] for call, rules in zip(calls, menus, strict=True)}
                what = f"{kind.__name__} has no gradient of its own: {name} was used"
                yield Way(f"substitute({kind.__name__}={name})", what, backward=backward)


def _smoothed(case: Case, base: Pilot) -> Iterator[Way]:
    """The mean of gradients around the image, at three radii."""
    if not base.gradient:
        return
    eps = float(case.ball.bind(case.batch.x[:1]).scale(case.batch.x[:1]).max())
    for share in (0.125, 0.5, 1.0):
        sigma = share * eps
        source = Noisy(case.threat.target, sigma)
        yield Way(
            f"smoothed({sigma:.3g})",
            f"gradients were averaged around the image (noise {sigma:.3g})",
            ((source, 1.0),),
            {},
            8,
        )


def _below(case: Case) -> Iterator[Way]:
    if case.below is not None and case.below is not case.threat.target:
        yield Way("bare()", "the bare network was attacked", ((case.below, 1.0),))


def _combined(trials: Trials) -> None:
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


def _more_draws(trials: Trials, random: bool) -> None:
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
