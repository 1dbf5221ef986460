"""One attack on one batch, judged: what a notebook calls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from vauban.core.cards import carded
from vauban.core.contracts import Batch
from vauban.core.goals import Goal
from vauban.core.rng import seeded
from vauban.data import Dataset
from vauban.engine import Attack, BoundThreat
from vauban.engine.network import predict, quiet
from vauban.evaluate.batch import Evaluated, evaluate_batch, in_batches, joined
from vauban.metrics.sample import measure
from vauban.statistics.estimates import median
from vauban.words import data as datasets
from vauban.words import goal as goals
from vauban.words.attack import attack_of
from vauban.words.model import model_of
from vauban.words.threat import threat_of


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
    attack: Attack | str,
    model: nn.Module | str,
    batch: Any,
    *,
    threat: Any = "white-box",
    goal: Goal | str = "untargeted",
    seed: int = 0,
    mask: Tensor | None = None,
    batch_size: int | None = None,
) -> AttackReport:
    """Attack a model on a batch and judge the result on the image that would be saved.

    A model whose answers differ between two calls is judged on fresh draws even where no card declares it.

    Args:
        attack: An attack, or its name: `pgd:eps=8/255`.
        model: A module, or its name: `digits-cnn`, `jpeg|digits-cnn`.
        batch: A `Batch`, a pair (x, y) of images on the 8-bit grid and labels, a `DataLoader`, a torch data set, or a data
            set or its name. Data sets are taken whole and give an attack without eps its conventional budget.
        threat: A recipe of `vauban.threats`, or its name: `adaptive:eot=16`.
        goal: A goal, or its name: `targeted:3`.
        seed: Of every random number.
        mask: False where the attacker may change nothing, as `(batch, ...)` or what broadcasts to it.
        batch_size: Images that are attacked at a time; None: all at once.

    Raises:
        UnknownName: A name is not known.
        ContractError: What is given does not fit together.
        AccessError: The attack asks for what the threat does not grant.
    """
    data = _attacked(batch)
    named = attack_of(attack, data if isinstance(data, Dataset) else None).value
    network, whole = model_of(model).value, data.all() if isinstance(data, Dataset) else data
    bound: BoundThreat = threat_of(threat).value.bind(network, levels=whole.levels)
    if not bound.randomised and answers_vary(bound.target, whole.x[:8]):
        bound = replace(bound, random=True)
    parts = in_batches(whole, mask, batch_size)
    return AttackReport(
        joined([evaluate_batch(named, bound, part, goals.load(goal), seed=seed, mask=own) for part, own in parts])
    )


def _attacked(data: Any) -> Batch | Dataset:
    """What is attacked: a batch, or a data set."""
    if isinstance(data, (Batch, Dataset)):
        return data
    if isinstance(data, (tuple, list)) and len(data) == 2:
        x, y = data
        return Batch(x, y, torch.arange(len(y), device=y.device))
    return datasets.load(data)


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
