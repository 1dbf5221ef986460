"""The batteries against the original AutoAttack at the same unrounded budget: `python -m benchmarks.autoattack`.

Robust accuracy on the same images, passes counted at the network by the same rule, and the images that one breaks and the
original does not. AutoAttack comes from pyautoattack (extra `peers`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

import vauban as vb
from benchmarks import setting
from benchmarks.passes import Traced
from benchmarks.tables import publish, table
from vauban import Linf, attacks
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.contracts import Batch
from vauban.core.losses import cross_entropy
from vauban.defences.inputs.bit_depth import BitDepth
from vauban.engine import BoundThreat, Oracle, judge
from vauban.engine.samples import Samples
from vauban.training.loop import optimise
from vauban.training.objectives.adversarial import AdversarialObjective


class Scaled(nn.Module):
    """Logits times a factor: the cross-entropy saturates in float32."""

    def __init__(self, inner: nn.Module, factor: float) -> None:
        super().__init__()
        self.inner, self.factor = inner, factor

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.factor  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Broken:
    """What one contender broke, `(batch,)`, with its passes per image and seconds."""

    broken: Tensor
    forwards: float
    backwards: float
    seconds: float


def battery(name: str, network: nn.Module, x: Tensor, y: Tensor, eps: float) -> Broken:
    """A battery of ours; an image that it returns counts when the judge agrees, or when the clean one is wrong."""
    traced, started = Traced(network), time.perf_counter()
    threat = BoundThreat(traced, levels=None, limit=Linf(eps))
    oracle = Oracle.open(threat, x, y)
    result = attacks.load(name, ball=Linf(eps)).run(oracle)
    seconds, trace = time.perf_counter() - started, (traced.forwards / len(x), traced.backwards / len(x))
    return Broken(judge(threat, x, result.adversarial, oracle.goal).success, *trace, seconds)


def autoattack(network: nn.Module, x: Tensor, y: Tensor, eps: float) -> Broken:
    """AutoAttack's standard version, seed 0; what it breaks is what the network mislabels inside the ball."""
    from pyautoattack import AutoAttack

    traced, started = Traced(network), time.perf_counter()
    adversary = AutoAttack(traced, norm="Linf", eps=eps, version="standard", seed=0)
    adversary.verbose = False
    with torch.random.fork_rng():
        images, _ = adversary.run_standard_evaluation(x, y, batch_size=len(x))
    seconds, trace = time.perf_counter() - started, (traced.forwards / len(x), traced.backwards / len(x))
    threat = BoundThreat(network, levels=None, limit=Linf(eps))
    return Broken(judge(threat, x, images, Oracle.open(threat, x, y).goal).success, *trace, seconds)


def compare(name: str, network: nn.Module, x: Tensor, y: Tensor, eps: float, theirs: Broken) -> list[object]:
    """The battery, robust accuracy of it and of the original, forwards and backwards per image of both, only-ours,
    only-theirs, seconds of both."""
    ours = battery(name, network, x, y, eps)
    return [
        name,
        1 - float(ours.broken.float().mean()),
        1 - float(theirs.broken.float().mean()),
        f"{ours.forwards:.0f} + {ours.backwards:.0f}",
        f"{theirs.forwards:.0f} + {theirs.backwards:.0f}",
        (ours.forwards + ours.backwards) / (theirs.forwards + theirs.backwards),
        int((ours.broken & ~theirs.broken).sum()),
        int((theirs.broken & ~ours.broken).sum()),
        f"{ours.seconds:.1f} / {theirs.seconds:.1f}",
    ]


def hardened(network: nn.Module, data: Samples, eps: float, epochs: int, lr: float = 1e-3) -> nn.Module:
    """Adversarial training with PGD-7, the budget growing over the first fifth of the steps; no augmentation."""
    steps = max(1, epochs * (len(data) // 64) // 5)

    def objective(module: nn.Module, batch: Batch, step: int) -> tuple[Tensor, Tensor | None]:
        ball = Linf(eps * min(1.0, (step + 1) / steps))
        return AdversarialObjective(PGD(ball, 7, 0.25, loss=cross_entropy))(module, batch, step)

    optimise(network, data, epochs=epochs, lr=lr, batch=64, objective=objective)
    return network.eval()


Case = tuple[str, nn.Module, Tensor, Tensor, float]


def masked(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The same network as it is, with gradients that vanish, and with a saturated cross-entropy."""
    yield "", network
    yield ", 3 bits", BitDepth(bits=3).wrap(network)
    yield ", logits x 1000", Scaled(network, 1000.0)


def digits_cases(n: int, epochs: int) -> Iterator[Case]:
    """The small network on the handwritten digits, its masked versions, and an adversarially trained one."""
    data = vb.data.load("digits/test").take(n)
    for kind, network in masked(vb.models.load("digits-cnn")):
        yield f"digits-cnn{kind}", network, data.x, data.y, 0.1
    if epochs:
        robust = hardened(vb.models.load("digits-cnn"), vb.data.load("digits/train"), 0.2, epochs)
        for kind, network in masked(robust):
            yield f"digits-cnn, PGD-trained{kind}", network, data.x, data.y, 0.2


def mnist_cases(root: Path, weights: Path, robust: Path | None, n: int) -> Iterator[Case]:
    """C4 on MNIST, clean and masked, and PGD-trained where weights are given."""
    data = setting.images(root)
    x, y = setting.first(data, n)
    clean, _ = setting.network(weights, data)
    for kind, network in masked(clean):
        yield f"C4{kind}", network, x, y, 0.2
    if robust is not None:
        trained, _ = setting.network(robust, data)
        for eps in (0.3, 0.2):
            yield "C4, PGD-trained", trained, x, y, eps
        yield "C4, PGD-trained, logits x 1000", Scaled(trained, 1000.0), x, y, 0.3


def main() -> None:
    parser = setting.arguments("The batteries against the original AutoAttack, unrounded.", images=150)
    parser.add_argument("--batteries", nargs="+", default=["standard", "autoattack"], help="attacks of ours")
    parser.add_argument("--robust", type=Path, help="weights of an adversarially trained mnist-c4")
    parser.add_argument("--epochs", type=int, default=30, help="of adversarial training on the digits; 0: leave out")
    parser.add_argument("--only", default="", help="networks whose name contains this")
    options = setting.read(parser)
    cases: list[Callable[[], Iterator[Case]]] = [lambda: digits_cases(options.images, options.epochs)]
    if options.data_root and options.weights:
        cases.append(lambda: mnist_cases(options.data_root, options.weights, options.robust, options.images))
    header = [
        "network",
        "eps",
        "battery",
        "ours",
        "original",
        "our passes (f + b)",
        "its passes",
        "ours / its",
        "only ours breaks",
        "only it breaks",
        "seconds",
    ]
    rows: list[list[object]] = []
    for case in cases:
        for name, network, x, y, eps in case():
            if options.only in name:
                for parameter in network.parameters():
                    parameter.requires_grad_(False)
                theirs = autoattack(network, x, y, eps)
                for ours in options.batteries:
                    rows.append([name, eps, *compare(ours, network, x, y, eps, theirs)])
                    print(table(header, rows[-1:]).split("\n")[-1], flush=True)
    text = f"Robust accuracy of {options.images} images, linf, unrounded.\n\n{table(header, rows)}"
    publish("autoattack", text, setting.machine(), options.write)


if __name__ == "__main__":
    main()
