"""The training loop: the one place where gradients go through parameters."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vauban.core.contracts import Batch, check_labels, check_logits
from vauban.core.errors import ContractError
from vauban.core.rng import fold, seeded
from vauban.engine.samples import Concatenated, Samples, accuracy, as_samples, device_of


@dataclass(frozen=True)
class Epoch:
    """loss: mean over the epoch's samples; accuracy: on the samples as trained, before each step; validation: after.

    seconds: of the epoch, with what was made for it and with the validation.
    """

    number: int
    loss: float
    accuracy: float
    validation: float | None
    seconds: float


@dataclass(frozen=True)
class TrainingHistory:
    """What a training run went through."""

    history: tuple[Epoch, ...]

    @property
    def validation(self) -> float | None:
        """Accuracy on the validation samples after the last epoch; None without them or without an epoch."""
        return self.history[-1].validation if self.history else None


Perturb = Callable[[nn.Module, Tensor, Tensor, Tensor, int], Tensor]
Beside = Callable[[nn.Module, int], Samples | None]
TrainingLoss = Callable[[Tensor, Tensor], Tensor]
Optimiser = Literal["adam", "sgd"] | Callable[[list[nn.Parameter]], torch.optim.Optimizer]


def fit(
    module: nn.Module,
    data: Samples | Batch,
    *,
    epochs: int,
    batch: int = 128,
    lr: float = 1e-3,
    optimiser: Optimiser = "adam",
    weight_decay: float = 0.0,
    schedule: Callable[[float], float] | None = None,
    seed: int = 0,
    validation: Samples | Batch | None = None,
    loss: TrainingLoss = F.cross_entropy,
    perturb: Perturb | None = None,
    beside: Beside | None = None,
    callback: Callable[[Epoch], None] | None = None,
) -> TrainingHistory:
    """Train `module` in place by mini-batches that are shuffled anew in every epoch.

    optimiser: 'adam', 'sgd' (momentum 0.9) or a function of the parameters. schedule: factor on lr by progress in [0, 1).
    loss(logits, y) is a scalar. perturb(module, x, y, ids, step) -> x replaces the images of a step (adversarial or
    augmented training; the module is in training mode then). beside(module, number) -> samples is asked before epoch
    `number` (from 0) for samples that the epoch is trained on as well, shuffled among the data; None for none. Order and
    dropout follow from `seed`; the global generators are left as they were, every submodule gets its mode back. Raises
    ContractError on labels outside the model's classes and when the loss is no longer finite.
    """
    samples, held = as_samples(data), None if validation is None else as_samples(validation)
    parameters = [p for p in module.parameters() if p.requires_grad]
    if epochs < 1 or batch < 1 or not parameters:
        raise ContractError(
            f"expected epochs >= 1, batch >= 1 and a module with parameters to train, "
            f"got epochs={epochs}, batch={batch}, {len(parameters)} parameters"
        )
    run = _Run(module, _optimiser(optimiser, parameters, lr, weight_decay), batch, loss, perturb)
    schedule = schedule or (lambda progress: 1.0)
    modes = {part: part.training for part in module.modules()}
    history: list[Epoch] = []
    try:
        for number in range(epochs):
            started = time.perf_counter()
            more = None if beside is None else beside(module, number)
            with seeded(seed, "fit", number, device=parameters[0].device):
                mean, right = run.epoch(
                    samples if more is None else Concatenated(samples, more), seed, number, epochs, schedule
                )
            if not math.isfinite(mean):
                raise ContractError(f"the training loss became {mean} in epoch {number + 1}; lower lr (now {lr})")
            checked = None if held is None else accuracy(module, held)
            history.append(Epoch(number + 1, mean, right, checked, time.perf_counter() - started))
            if callback is not None:
                callback(history[-1])
    finally:
        for part, mode in modes.items():
            part.training = mode
        for parameter in parameters:
            parameter.grad = None
    return TrainingHistory(tuple(history))


@dataclass
class _Run:
    module: nn.Module
    optimiser: torch.optim.Optimizer
    batch: int
    loss: TrainingLoss
    perturb: Perturb | None
    steps: int = 0

    def epoch(
        self, data: Samples, seed: int, number: int, epochs: int, schedule: Callable[[float], float]
    ) -> tuple[float, float]:
        """(mean loss, accuracy) of one pass over the shuffled samples."""
        order = torch.Generator().manual_seed(fold(seed, "order", number) % 2**63)
        parts = torch.split(torch.randperm(len(data), generator=order), self.batch)
        if len(parts) > 1 and len(parts[-1]) == 1:  # batch normalisation cannot train on a single sample
            parts = (*parts[:-2], torch.cat(parts[-2:]))
        rates = [group["lr"] for group in self.optimiser.param_groups]
        device = device_of(self.module)
        total, right = torch.zeros((), device=device), torch.zeros((), dtype=torch.int64, device=device)
        for i, index in enumerate(parts):
            for group, rate in zip(self.optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * schedule((number + i / len(parts)) / epochs)
            sample = data.batch(index).to(device)
            value, hits = self.step(sample, check=number == 0)
            total += value * len(index)
            right += hits
        for group, rate in zip(self.optimiser.param_groups, rates, strict=True):
            group["lr"] = rate
        return float(total) / len(data), int(right) / len(data)

    def step(self, sample: Batch, check: bool) -> tuple[Tensor, Tensor]:
        self.module.train()
        x = sample.x
        if self.perturb is not None:
            x = self.perturb(self.module, x, sample.y, sample.ids, self.steps).detach()
        logits = check_logits(self.module(x), len(sample))
        if check:
            check_labels(sample.y, len(sample), logits.shape[1])
        value = self.loss(logits, sample.y)
        self.optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.steps += 1
        return value.detach(), (logits.argmax(1) == sample.y).sum()


def _optimiser(kind: Optimiser, parameters: list[nn.Parameter], lr: float, decay: float) -> torch.optim.Optimizer:
    if callable(kind):
        return kind(parameters)
    if kind == "adam":
        return torch.optim.Adam(parameters, lr=lr, weight_decay=decay)
    if kind == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=0.9, weight_decay=decay)
    raise ContractError(f"expected the optimiser 'adam', 'sgd' or a function of the parameters, got {kind!r}")
