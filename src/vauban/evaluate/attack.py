"""One attack on one batch, judged: what a notebook calls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from vauban.core.cards import carded
from vauban.core.contracts import Batch
from vauban.core.goals import Goal, Untargeted
from vauban.core.rng import seeded
from vauban.engine import Attack, BoundThreat
from vauban.engine.network import predict, quiet
from vauban.evaluate.batch import Evaluated, evaluate_batch
from vauban.metrics.sample import measure
from vauban.statistics.estimates import median
from vauban.threats import white_box


@dataclass(frozen=True, repr=False)
class AttackReport:
    """The judged result of `vauban.attack`; every tensor batch-leading.

    adversarial: the successful image, the original where none succeeded. crafted: the attack's own image, always.
    success: judged on the saved image. distance: in the attack's norm, infinite on failure.
    """

    evaluated: Evaluated

    @property
    def adversarial(self) -> Tensor:
        e = self.evaluated
        return torch.where(self.success.view(-1, *(1,) * (e.image.dim() - 1)), e.image, e.batch.x)

    @property
    def crafted(self) -> Tensor:
        return self.evaluated.result.crafted

    @property
    def success(self) -> Tensor:
        return self.evaluated.success

    @property
    def distance(self) -> Tensor:
        e = self.evaluated
        return torch.where(self.success, e.norm.size(e.image - e.batch.x), torch.inf)

    @property
    def forwards(self) -> Tensor:
        return self.evaluated.result.forwards

    @property
    def backwards(self) -> Tensor:
        return self.evaluated.result.backwards

    @property
    def robust_accuracy(self) -> float:
        """Share of all samples that the model classifies correctly, clean and attacked: an upper bound."""
        e = self.evaluated
        worst = torch.maximum(e.clean.misclassified, e.verdict.misclassified * e.verdict.admissible)
        return float((1 - worst).mean())

    def distances(self) -> dict[str, Tensor]:
        """Per-sample L0, L1, L2, L-infinity, SSIM and PSNR of the judged images."""
        return measure(self.evaluated.batch.x, self.evaluated.image)

    def __repr__(self) -> str:
        e, n = self.evaluated, len(self.success)
        middle = median(self.distance[e.attacked].cpu().numpy()).value
        wrong = int((~e.attacked).sum())
        skipped = f" ({wrong} already misclassified)" if wrong else ""
        passes = float(self.backwards[e.attacked].double().mean()) if bool(e.attacked.any()) else 0.0
        queries = float(self.forwards[e.attacked].double().mean()) if bool(e.attacked.any()) else 0.0
        return (
            f"{n} samples, {int(self.success.sum())} fooled{skipped}, median {e.norm.name} {middle:.4g}, "
            f"{passes:.3g} gradients and {queries:.3g} queries each"
        )


def attack(
    attack: Attack,
    model: nn.Module,
    batch: Batch | tuple[Tensor, Tensor],
    *,
    threat: Any = None,
    goal: Goal | None = None,
    seed: int = 0,
    mask: Tensor | None = None,
) -> AttackReport:
    """Attack a model on a batch and judge the result on the image that would be saved.

    batch: a `Batch`, or a pair (x, y) of images on the 8-bit grid and labels. threat: a recipe of `vauban.threats`
    (white-box when None). mask: False where the attacker may change nothing. A model whose answers differ between two
    calls is judged on fresh draws even where no card declares it.
    """
    if not isinstance(batch, Batch):
        x, y = batch
        batch = Batch(x, y, torch.arange(len(y), device=y.device))
    bound: BoundThreat = (threat or white_box()).bind(model, levels=batch.levels)
    if not bound.randomised and answers_vary(bound.target, batch.x[:8]):
        bound = replace(bound, random=True)
    return AttackReport(evaluate_batch(attack, bound, batch, goal or Untargeted(), seed=seed, mask=mask))


def answers_vary(model: nn.Module, x: Tensor, rtol: float = 1e-4) -> bool:
    """Whether the model draws from torch's generators, or answers two calls on the same images differently."""
    if any(card.random for _, card in carded(model)):
        return True
    answers, drew = [], False
    with quiet(list(model.modules())):
        for k in range(2):
            with seeded("vary", k, device=x.device):
                before = _generators(x.device)
                answers.append(predict(model, x))
                drew = drew or any(not torch.equal(*pair) for pair in zip(before, _generators(x.device), strict=True))
    return drew or not torch.allclose(answers[0], answers[1], rtol=rtol, atol=1e-6, equal_nan=True)


def _generators(device: torch.device) -> list[Tensor]:
    cuda = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *cuda]
