"""The speed-distortion frontier: rounded L2 distances at an equal number of gradients, per quantile of the images.

`python -m benchmarks.frontier --model NAME:weights=FILE --data mnist/test[:500] --steps 20 100`. For each budget: success,
the median with failures as infinite, and how far each attack's operating characteristic P(D) is from the best of the
others: the mean over the quantiles 5 %, ..., 97 %, 99 % of D(P) / min D_other(P) - 1, and the worst of them. Negative
means nearer than every other attack; a worst quantile below zero means a curve above every other.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

import vauban as vb
from benchmarks import setting
from benchmarks.tables import publish, table
from vauban import L2, attacks
from vauban.core.losses import cross_entropy, margin
from vauban.data import Dataset
from vauban.engine import Attack, Bisection, BoundThreat, Oracle

FAR = 1e3  # stands for a failure, so that quantiles are finite
QUANTILES = torch.cat([torch.linspace(0.05, 0.97, 24), torch.tensor([0.99])])
ATTACKS: dict[str, Callable[[int], Attack]] = {
    "BP": lambda n: attacks.BP(steps=n),
    "BP, as printed": lambda n: attacks.BP(steps=n, retreat=False),
    "BP, margin": lambda n: attacks.BP(steps=n, loss=margin),
    "DDN": lambda n: attacks.DDN(steps=n),
    "FMN": lambda n: attacks.FMN(steps=n),
    "C&W, one constant": lambda n: attacks.CW(search_steps=1, steps=n, lr=0.1, c=10.0),
    "APGD, radius searched": lambda n: Bisection(
        attacks.APGD(L2(1.0), steps=n // 5, loss=cross_entropy, random_start=False), "eps", 1.0, rounds=5
    ),
    "Sapper": lambda n: attacks.Sapper(steps=n),
}
"""From the number of gradients, at most."""


def distances(attack: Attack, network: nn.Module, data: Dataset, batch: int) -> Tensor:
    """The rounded distance of every image that the network labels right, FAR where the attack fails."""
    found = []
    for index in torch.split(torch.arange(len(data)), batch):
        part = data.batch(index)
        with torch.no_grad():
            right = network(part.x).argmax(1) == part.y
        oracle = Oracle.open(
            BoundThreat(network, levels=part.levels), part.x[right], part.y[right], ids=part.ids[right]
        )
        found.append(attack.run(oracle).distance)
    return torch.cat(found).clamp_max(FAR)


def compared(found: dict[str, Tensor]) -> list[list[object]]:
    """Rows: attack, images, success, median, mean and worst of the quantiles against the best other attack, in percent."""
    at = {name: torch.quantile(d, QUANTILES.to(d)) for name, d in found.items()}
    rows: list[list[object]] = []
    for name, d in found.items():
        other = torch.stack([q for rival, q in at.items() if rival != name]).amin(0)
        gap = 100 * (at[name] / other - 1)
        share = float((d < FAR).float().mean())
        rows.append(
            [name, len(d), share, f"{float(d.median()):.4f}", f"{float(gap.mean()):+.1f}", f"{float(gap.max()):+.1f}"]
        )
    return rows


def _shown(gap: Tensor) -> str:
    """Percent with a sign; a quantile at which the attack fails is FAR."""
    return f"{float(gap):+.1f}" if gap < FAR else "fails"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a name with weights, as in vauban evaluate")
    parser.add_argument("--data", required=True, help="e.g. mnist/test[:500]")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--steps", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="replace this benchmark's section of a Markdown file"
    )
    options = setting.read(parser)
    network, data = vb.models.load(options.model), vb.data.load(options.data, root=options.data_root)
    text = (
        f"{Path(options.model).name} on {options.data}, rounded to its grid; percent against the best other attack.\n"
    )
    header = ["attack", "images", "success", "median L2", "mean of quantiles", "worst quantile"]
    for n in options.steps:
        measured = partial(distances, network=network, data=data, batch=options.batch)
        rows = compared({name: measured(make(n)) for name, make in ATTACKS.items()})
        text += f"\n{n} gradients:\n\n{table(header, rows)}\n"
    publish("frontier", text, setting.machine(), options.write)


if __name__ == "__main__":
    main()
