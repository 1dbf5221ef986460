"""What recipes of training cost beyond their passes through the network: `python -m benchmarks.training`.

A step of each objective against the same forwards and backwards written by hand; an epoch with ten noisy copies against
eleven plain ones, and the memory of both. The contenders take turns.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import vauban as vb
from benchmarks import setting
from benchmarks.tables import publish, table
from benchmarks.timing import CLOCKS, interleaved, ratio
from vauban import Linf, attacks
from vauban.core.contracts import Batch
from vauban.engine.samples import Subset
from vauban.training.augmentation.noise import GaussianAugmentation
from vauban.training.loop import optimise
from vauban.training.objectives.adversarial import AdversarialTraining
from vauban.training.objectives.awp import WeightPerturbation
from vauban.training.objectives.distillation import Distillation
from vauban.training.objectives.fast import FastTraining
from vauban.training.objectives.free import FreeTraining
from vauban.training.objectives.standard import StandardTraining
from vauban.training.objectives.trades import Trades
from vauban.training.objectives.vat import VirtualTraining
from vauban.training.recipe import RecipePart
from vauban.training.samples import training_samples

K = 5
PGD = attacks.PGD(Linf(0.3), steps=K)


@dataclass(frozen=True)
class ByHand:
    """A step as its passes alone.

    Attributes:
        gradients: Image gradients in evaluation mode.
        answers: Forwards in evaluation mode without a gradient.
        forwards: Forwards in training mode in front of each of the backward passes through the weights.
        backwards: Backward passes through the weights.
        through: Whether the image's gradient comes out of the same backward pass.
    """

    gradients: int = 0
    answers: int = 0
    forwards: int = 1
    backwards: int = 1
    through: bool = False

    def step(self, network: nn.Module, batch: Batch) -> None:
        x, y = batch.x, batch.y
        network.eval()
        for _ in range(self.answers):
            with torch.no_grad():
                network(x)
        for _ in range(self.gradients):
            leaf = x.clone().requires_grad_()
            torch.autograd.grad(F.cross_entropy(network(leaf), y, reduction="sum"), leaf)
        network.train()
        for _ in range(self.backwards):
            network.zero_grad(set_to_none=True)
            given = x.clone().requires_grad_(self.through)
            total = torch.stack([F.cross_entropy(network(given), y) for _ in range(self.forwards)]).sum()
            total.backward()  # type: ignore[no-untyped-call]


def objectives(teacher: nn.Module) -> dict[str, tuple[RecipePart, ByHand]]:
    """Each objective beside its passes."""
    return {
        "standard": (StandardTraining(), ByHand()),
        f"at, replacing, PGD-{K}": (AdversarialTraining(PGD), ByHand(K)),
        f"at, mixture, PGD-{K}": (AdversarialTraining(PGD, 0.5), ByHand(K, forwards=2)),
        f"trades, PGD-{K}": (Trades(PGD), ByHand(K, forwards=2)),
        "free, a replay": (FreeTraining(0.3), ByHand(through=True)),
        "fast": (FastTraining(0.3), ByHand(1)),
        "vat": (VirtualTraining(), ByHand(1, answers=1, forwards=2)),
        "distillation": (Distillation(teacher), ByHand(answers=1)),
        f"awp of at, PGD-{K}": (WeightPerturbation(AdversarialTraining(PGD)), ByHand(K, backwards=2)),
    }


def steps(batch: Batch, rounds: int, clock: str, only: str) -> list[list[object]]:
    """A row for each objective: its time in terms of the passes by hand."""
    rows: list[list[object]] = []
    teacher = vb.models.build("mnist-c4").to(memory_format=torch.channels_last).eval()
    for name, (part, hand) in objectives(teacher).items():
        if only not in name:
            continue
        network, objective = vb.models.build("mnist-c4").to(memory_format=torch.channels_last), part.objective(0)

        def ours(network: nn.Module = network, objective: Callable[..., tuple[Tensor, object]] = objective) -> None:
            network.zero_grad(set_to_none=True)
            objective(network, batch, 1)[0].backward()  # type: ignore[no-untyped-call]

        def theirs(network: nn.Module = network, hand: ByHand = hand) -> None:
            hand.step(network, batch)

        seconds = interleaved({"ours": ours, "hand": theirs}, rounds, clock=CLOCKS[clock])
        rows.append([name, str(getattr(objective, "passes", "")), ratio(seconds, "ours", "hand")])
    return rows


def epochs(data: Subset, rounds: int, clock: str) -> list[list[object]]:
    """Ten copies beside the originals in terms of eleven plain epochs, for two networks."""
    rows: list[list[object]] = []
    for model in ("mnist-c4", "efficient-cnn"):

        def run(noisy: bool, model: str = model) -> None:
            train(model, data, noisy)

        tasks = {"ours": lambda run=run: run(True), "plain": lambda run=run: run(False)}
        seconds = interleaved(tasks, rounds, clock=CLOCKS[clock])
        rows.append([f"gda, n = 10, {model}", "eleven plain epochs", ratio(seconds, "ours", "plain")])
    return rows


def train(model: str, data: Subset, noisy: bool) -> None:
    """One epoch of originals and ten copies, or eleven of the originals."""
    network = vb.models.build(model).to(memory_format=torch.channels_last)
    samples = training_samples(data)
    optimise(network, GaussianAugmentation(0.3).samples(samples, 0) if noisy else samples, epochs=1 if noisy else 11)


def memory(n: int, options: list[str]) -> list[list[object]]:
    """Peak memory of a process that trains with copies in terms of one that does not, MB beside."""
    peaks = {}
    for kind in ("plain", "noisy"):
        command = [sys.executable, "-m", "benchmarks.training", *options, "--images", str(n), "--peak", kind]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
        peaks[kind] = int(done.stdout.split()[-1])
    share = peaks["noisy"] / peaks["plain"]
    return [[f"gda, n = 10, peak memory ({peaks['noisy'] // 1024} MB)", f"plain ({peaks['plain'] // 1024} MB)", share]]


def main() -> None:
    parser = setting.arguments("What recipes of training cost.", images=512, rounds=7)
    parser.add_argument("--only", default="", help="objectives whose name contains this")
    parser.add_argument("--peak", choices=("plain", "noisy"), help="train once and print the peak memory in KB")
    options = setting.read(parser)
    data = setting.images(options.data_root)
    part = Subset(data.train, torch.arange(options.images))
    if options.peak:
        train("mnist-c4", part, options.peak == "noisy")
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return
    batch = part.batch(torch.arange(128))
    rows = steps(batch, options.rounds, options.clock, options.only)
    if not options.only:
        rows += epochs(part, max(2, options.rounds // 2), options.clock)
        root = [] if options.data_root is None else ["--data-root", str(options.data_root)]
        rows += memory(4 * options.images, [*root, "--threads", str(options.threads)])
    text = table(["", "passes (forwards, backwards), or against what", "ratio"], rows)
    machine = f"mnist-c4 in batches of 128, {data.name}, {options.clock} time, {setting.machine()}"
    publish("training", text, machine, options.write)


if __name__ == "__main__":
    main()
