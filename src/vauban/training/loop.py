"""The training loop: the one place where gradients go through parameters."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from vauban.core.answers import predicted
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, short
from vauban.core.rng import fold, seeded
from vauban.core.spelling import spelled
from vauban.engine.network import check_gradients
from vauban.engine.samples import Samples, accuracy, as_samples, device_of
from vauban.training.checkpoint import Checkpoint
from vauban.training.history import Epoch, TrainingHistory
from vauban.training.kept_epoch import KeptEpoch, chosen
from vauban.training.objective import Objective
from vauban.training.objectives.standard import CleanObjective
from vauban.training.samples import TrainingSamples, training_samples
from vauban.training.schedules import Schedule, schedule_of
from vauban.training.selection import Selection

Optimiser = Literal["adam", "sgd"] | Callable[[list[nn.Parameter]], torch.optim.Optimizer]
Callback = Callable[[Epoch], None]
MOMENTUM = 0.9  # of 'sgd'


def learning(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that require a gradient."""
    return [p for p in network.parameters() if p.requires_grad]


def awake(network: nn.Module) -> list[nn.Module]:
    """The submodules that are in training mode."""
    return [part for part in network.modules() if part.training]


def optimise(
    network: nn.Module,
    data: TrainingSamples | Samples | Batch,
    *,
    epochs: int,
    objective: Objective | None = None,
    trainable: Callable[[nn.Module], Iterable[nn.Parameter]] = learning,
    training_mode: Callable[[nn.Module], Iterable[nn.Module]] = awake,
    batch: int = 128,
    lr: float = 1e-3,
    optimiser: Optimiser = "adam",
    weight_decay: float = 0.0,
    schedule: Schedule = "constant",
    seed: int = 0,
    validation: Samples | Batch | None = None,
    selection: Selection | None = None,
    checkpoint: Path | None = None,
    callback: Callback | None = None,
) -> TrainingHistory:
    """Train `network` in place by mini-batches that are shuffled anew in every epoch.

    Order and dropout follow from `seed`; the global generators are left as they were. Afterwards every submodule has its
    mode again and every parameter its flag.

    Args:
        network: Takes images, returns logits.
        data: What is trained on; samples with `epoch` and `changed` are made anew for each epoch and step.
        epochs: Passes over the data, 1 or more.
        objective: What a step makes small; None: the cross-entropy.
        trainable: The parameters to optimise; default: those that require a gradient. The others stay as they are.
        training_mode: The submodules in training mode during a step; default: those that are when the network is handed
            over, so that batch normalisation that was put in evaluation mode keeps its statistics, bit for bit.
        batch: Samples of a step; a last one alone joins the batch before.
        lr: Learning rate.
        optimiser: 'adam', 'sgd' (momentum 0.9) or a function of the parameters, which knows its own rate and decay.
        weight_decay: L2 penalty of 'adam' and 'sgd'.
        schedule: Factor on lr: 'constant', 'cosine' and 'linear' (both to 0), or a function of progress in [0, 1).
        seed: Seed.
        validation: Samples whose accuracy is measured after each epoch.
        selection: Which epoch's network is kept, by what it measures on the validation samples; None: the last one's.
        checkpoint: A file that holds, after each epoch, all that the next one follows from. A training that was killed
            goes on from there and ends with the same weights bit for bit.
        callback: Called after each epoch of this run.

    Raises:
        ContractError: Labels outside the network's classes, nothing to train, a loss or weights that are no longer
            finite, or the checkpoint of another training.
    """
    check_gradients()
    parameters = list(trainable(network))
    if epochs < 1 or batch < 1 or not parameters:
        raise ContractError(
            f"expected epochs >= 1, batch >= 1 and a network with parameters to train, "
            f"got epochs={epochs}, batch={batch}, {len(parameters)} parameters"
        )
    samples, held = training_samples(data), None if validation is None else as_samples(validation)
    objective = CleanObjective() if objective is None else objective
    made = _optimiser(optimiser, parameters, lr, weight_decay)
    run = _Run(network, made, objective, samples, batch, seed, epochs, schedule_of(schedule))
    history: list[Epoch] = []
    kept, best = None, _kept_epoch(network, selection, held, seed)
    if checkpoint is not None:
        settings = {"epochs": epochs, "batch": batch, "lr": lr, "weight_decay": weight_decay, "seed": seed}
        words = {"optimiser": spelled(optimiser), "objective": spelled(objective), "schedule": spelled(schedule)}
        told = {**settings, **words, "samples": len(samples), "selection": str(selection)}
        kept = Checkpoint(checkpoint, network, made, objective, told, best)
        run.steps, history = kept.resume()
    with _prepared(network, parameters, list(training_mode(network))):
        for number in range(len(history), epochs):
            started = time.perf_counter()
            loss, share = run.epoch(number, parameters[0].device)
            if not math.isfinite(loss) or not all(bool(p.isfinite().all()) for p in parameters):
                what = "weights became nan or infinite" if math.isfinite(loss) else f"training loss became {loss}"
                half = any(p.dtype == torch.float16 for p in parameters)
                remedy = "train in float32, net.float(), and convert afterwards" if half else f"lower lr (now {lr})"
                raise ContractError(f"the {what} in epoch {number + 1}; {remedy}")
            checked = None if held is None else accuracy(network, held)
            score = None if best is None else best.score()
            history.append(Epoch(number + 1, loss, share, checked, time.perf_counter() - started, score))
            if best is not None:
                best.note(history)
            if kept is not None:
                kept.store(run.steps, history)
            if callback is not None:
                callback(history[-1])
    if best is None:
        return TrainingHistory(tuple(history))
    best.put_back()
    return TrainingHistory(tuple(history), chosen(history))


def _kept_epoch(network: nn.Module, selection: Selection | None, held: Samples | None, seed: int) -> KeptEpoch | None:
    """What keeps the network of the chosen epoch; None where the last one's is kept. Raises ContractError."""
    if selection is None or not selection.measures:
        return None
    if held is None:
        raise ContractError(
            f"expected samples that are held out of training for selection={selection}, got none; set a larger holdout"
        )
    return KeptEpoch(network, selection, held, seed)


@contextmanager
def _prepared(network: nn.Module, parameters: list[nn.Parameter], active: list[nn.Module]) -> Iterator[None]:
    """Only `parameters` require gradients, only `active` is in training mode; flags and modes are restored afterwards."""
    modes = {part: part.training for part in network.modules()}
    flags = [(p, p.requires_grad) for p in dict.fromkeys((*network.parameters(), *parameters))]
    chosen = set(parameters)
    try:
        for p, _ in flags:
            p.requires_grad_(p in chosen)
        for part in modes:
            part.training = False
        for part in active:
            part.training = True
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
        for p, flag in flags:
            p.requires_grad_(flag)
        for p in parameters:
            p.grad = None


class _Run:
    """The steps of one training.

    Attributes:
        steps: Steps so far, through all epochs.
    """

    def __init__(
        self,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        objective: Objective,
        samples: TrainingSamples,
        batch: int,
        seed: int,
        epochs: int,
        schedule: Callable[[float], float],
    ) -> None:
        self.network, self.optimiser, self.objective, self.samples = network, optimiser, objective, samples
        self.batch, self.seed, self.epochs, self.schedule = batch, seed, epochs, schedule
        self.steps = 0

    def epoch(self, number: int, device: torch.device) -> tuple[float, float | None]:
        """(mean loss, accuracy where the objective gives logits) of one pass over the shuffled samples."""
        samples = self.samples.epoch(self.network, number)
        rates = [group["lr"] for group in self.optimiser.param_groups]
        try:
            with seeded(self.seed, "fit", number, device=device):
                return self._pass(samples, number, rates)
        finally:
            for group, rate in zip(self.optimiser.param_groups, rates, strict=True):
                group["lr"] = rate

    def _pass(self, samples: Samples, number: int, rates: list[float]) -> tuple[float, float | None]:
        device = device_of(self.network)
        total, right = torch.zeros((), device=device), torch.zeros((), dtype=torch.int64, device=device)
        counted = 0
        parts = self._order(len(samples), number)
        for i, index in enumerate(parts):
            for group, rate in zip(self.optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * self.schedule((number + i / len(parts)) / self.epochs)
            batch = self.samples.changed(samples.batch(index).to(device), self.steps)
            for _ in range(getattr(self.objective, "repeats", 1)):
                value, logits = self._step(batch)
            total += value * len(index)
            if logits is not None:
                counted += len(index)
                right += (predicted(logits) == batch.y).sum()
        return float(total) / len(samples), int(right) / counted if counted else None

    def _order(self, size: int, number: int) -> tuple[Tensor, ...]:
        """The positions of each step of an epoch."""
        order = torch.Generator().manual_seed(fold(self.seed, "order", number) % 2**63)
        parts = torch.split(torch.randperm(size, generator=order), self.batch)
        if len(parts) > 1 and len(parts[-1]) == 1:  # batch normalisation cannot train on a single sample
            parts = (*parts[:-2], torch.cat(parts[-2:]))
        return parts

    def _step(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        with torch.enable_grad():
            value, logits = self.objective(self.network, batch, self.steps)
            if not isinstance(value, Tensor) or value.dim():
                got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else short(value)
                raise ContractError(
                    f"expected a scalar of the objective and its criterion, a mean over samples, got {got}"
                )
            self.optimiser.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.steps += 1
        return value.detach(), None if logits is None else logits.detach()


def _optimiser(kind: Optimiser, parameters: list[nn.Parameter], lr: float, decay: float) -> torch.optim.Optimizer:
    if callable(kind):
        return kind(parameters)
    if kind == "adam":
        return torch.optim.Adam(parameters, lr=lr, weight_decay=decay)
    if kind == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=MOMENTUM, weight_decay=decay)
    raise ContractError(f"expected the optimiser 'adam', 'sgd' or a function of the parameters, got {kind!r}")
