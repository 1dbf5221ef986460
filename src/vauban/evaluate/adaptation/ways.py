"""Ways around what masks a gradient: what an attacker who has looked into a network may differentiate in its place."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from vauban.core.contracts import Batch
from vauban.evaluate.adaptation.calls import Call
from vauban.evaluate.adaptation.probes import Pilot
from vauban.evaluate.adaptation.substitutes import menu
from vauban.evaluate.adaptation.trials import Case
from vauban.threats.auto import Way
from vauban.threats.distilled import FitDistilled
from vauban.threats.inside import InnerClassifier, Noisy, StraightThrough, carrier

INNER = 3  # classifiers inside that are tried
RADII = (0.125, 0.5, 1.0)  # of smoothing, in units of eps
SMOOTHED = 8  # draws of a smoothed gradient


def called(call: Call) -> str:
    """What a reader calls a submodule."""
    return f"{type(call.module).__name__} ({call.name})"


def same(output: Tensor, logits: Tensor) -> bool:
    """Whether what a classifier inside returned is what the network answered."""
    return output.shape == logits.shape and torch.allclose(output.to(logits), logits, rtol=1e-4, atol=1e-5)


def inner(case: Case, inside: list[Call], logits: Tensor, seen: list[str]) -> Iterator[Way]:
    """Classifiers inside as objectives, and the operations before them passed straight through."""
    whole = case.threat.target
    for call in inside[:INNER]:
        name, apart = called(call), not same(call.output, logits)
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


def substituted(case: Case, wrong: list[tuple[Call, str]]) -> Iterator[Way]:
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


def smoothed(case: Case, base: Pilot) -> Iterator[Way]:
    """The mean of gradients around the image, at three radii."""
    if not base.gradient:
        return
    eps = float(case.ball.bind(case.batch.x[:1]).scale(case.batch.x[:1]).max())
    for share in RADII:
        sigma = share * eps
        source = Noisy(case.threat.target, sigma)
        said = f"gradients were averaged around the image (noise {sigma:.3g})"
        yield Way(f"smoothed({sigma:.3g})", said, ((source, 1.0),), draws=SMOOTHED)


def below(case: Case) -> Iterator[Way]:
    """The bare network, where it is known."""
    if case.below is not None and case.below is not case.threat.target:
        yield Way("bare()", "the bare network was attacked", ((case.below, 1.0),))


def distilled(images: Batch, classes: int) -> list[Way]:
    """A network distilled from the answers, where queries are all there is; none for what is no image.

    Args:
        images: What the attacker has to ask about.
        classes: Number of answers to an image.
    """
    if images.x.dim() != 4:
        return []
    fitter = FitDistilled(f"student:channels={images.x.shape[1]},classes={classes}")
    said = f"a network distilled from {fitter.asks(len(images)):,} answers was attacked"
    return [Way("distilled(student)", said, distilled=(fitter, images))]
