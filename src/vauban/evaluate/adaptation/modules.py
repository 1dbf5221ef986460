"""Submodules whose gradient is not that of their function: a finite-difference test of each that is not torch's own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vauban.core.errors import VaubanError
from vauban.core.rng import Stream, seeded
from vauban.core.tensors import flat
from vauban.engine.network import quiet
from vauban.evaluate.adaptation.calls import Call
from vauban.evaluate.adaptation.responses import responses

LOOKED_AT, MOVES = 4, 4  # samples, and pairs of moves
SHARE = 0.05  # of the standard deviation of what a module is given: the largest move
UNSOUND = 0.5  # share of the samples
SOUND = ("torch.", "torchvision.", "timm.")  # packages whose modules are taken to be sound


def unsound_modules(calls: list[Call], moved: list[Call], whole: list[Call], seed: int) -> list[tuple[Call, str]]:
    """The innermost unsound submodules, each with what is wrong.

    Those of `SOUND` packages are taken to be sound, and those that hold a classifier are judged as a whole elsewhere. A
    move is as large as what a small move of the image makes of it there, where that is anything.

    Args:
        calls: The calls of a network's submodules, outermost first.
        moved: The same at images that were moved.
        whole: Classifiers among them.
        seed: Of the moves.
    """
    natural = {call.name: call.given for call in moved}
    holding = {call.name for call in whole}
    wrong: list[tuple[Call, str]] = []
    for call in reversed(calls):  # the innermost come first
        inner = any(other.name.startswith(f"{call.name}.") for other, _ in wrong)
        classifies = any(name == call.name or name.startswith(f"{call.name}.") for name in holding)
        if inner or classifies or type(call.module).__module__.startswith(SOUND):
            continue
        if (what := _wrong(call, natural.get(call.name, call.given), seed)) is not None:
            wrong.append((call, what))
    return wrong[::-1]


def _wrong(call: Call, moved: Tensor, seed: int) -> str | None:
    z = call.given[:LOOKED_AT]
    weights = Stream(seed, torch.arange(1)).normal("weights", tuple(call.output.shape[1:]), dtype=z.dtype).to(z.device)

    def value(given: Tensor) -> Tensor:
        with seeded(seed, "module", device=z.device), torch.no_grad():
            answer: Tensor = call.module(given.clone())
        return (flat(answer) * flat(weights)).sum(1)

    if len(call.output) != len(call.given) or not _alone(call, z):
        return None
    with quiet(list(call.module.modules())):
        try:
            gradient = _gradient(call, z, weights, seed)
        except RuntimeError:
            gradient = None
        if gradient is None:
            return "has no gradient"
        step = SHARE * flat(z).std(1).clamp_min(1e-6)
        if moved.shape == call.given.shape:
            change = flat(moved[:LOOKED_AT] - z).square().mean(1).sqrt()
            step = torch.where(change > 0, torch.minimum(step, change), step)
        try:
            seen = responses(value, z, gradient.nan_to_num(), step, seed, MOVES)
        except (RuntimeError, VaubanError):
            return None
    if not bool(gradient.isfinite().all()):
        return "has a gradient that is not finite"
    if not bool(gradient.any()):
        with quiet(list(call.module.modules())):
            return "has a gradient of zero" if _moves(value, z, seed) else None
    if float(seen.unsound.double().mean()) <= UNSOUND:
        return None
    return "has a gradient of zero" if bool(seen.dead.all()) else "has a gradient that is not that of its function"


def _alone(call: Call, z: Tensor) -> bool:
    """Whether a module answers its first argument alone, as it did in the network; else what holds it is looked at."""
    with quiet(list(call.module.modules())), seeded(0, "alone", device=z.device), torch.no_grad():
        try:
            answer = call.module(z.clone())
        except Exception:  # whatever a user's module raises for want of its other arguments
            return False
    return isinstance(answer, Tensor) and answer.shape == call.output[: len(z)].shape


def _moves(value: Callable[[Tensor], Tensor], z: Tensor, seed: int) -> bool:
    """Whether most samples respond to a random move of some size, up to their spread: steps may be far apart."""
    signs = Stream(seed, torch.arange(len(z))).signs("moves", tuple(z.shape[1:]), dtype=z.dtype).to(z.device)
    before, spread = value(z), flat(z).std(1).view(-1, *(1,) * (z.dim() - 1))
    moved = [value(z + share * spread * signs) != before for share in (SHARE, 5 * SHARE, 1.0)]
    return float(torch.stack(moved).any(0).double().mean()) > UNSOUND


def _gradient(call: Call, z: Tensor, weights: Tensor, seed: int) -> Tensor | None:
    with torch.enable_grad(), seeded(seed, "module", device=z.device):
        leaf = z.clone().requires_grad_(True)
        answer = call.module(leaf * 1)
        if not answer.requires_grad:
            return None
        (gradient,) = torch.autograd.grad((flat(answer) * flat(weights)).sum(), leaf, allow_unused=True)
    return gradient
