"""Keyed transforms against the bare network in one run: `python -m benchmarks.keyed --threads 1 --clock cpu`.

Weights are random: what is computed does not depend on them. The goal is a permutation at 1.03 of a forward at most.
"""

from __future__ import annotations

import torch
from torch import nn

import vauban as vb
from benchmarks import setting
from benchmarks.tables import publish, table
from benchmarks.timing import CLOCKS, Clock, interleaved, ratio
from vauban.core.rng import seeded

TRANSFORMS = (
    "pixel-permutation",
    "pixel-permutation:channels=apart",
    "block-permutation:block=4",
    "pixel-substitution",
    "keyed-signs",
)
NETWORKS = {
    "keyed-fgsm": ("keyed-fgsm", (1, 28, 28)),
    "nine convolutions, quartered": ("cifar10-thesis:width=0.25", (3, 32, 32)),
}


def rows_of(name: str, batch: int, rounds: int, clock: Clock) -> list[list[object]]:
    """Rows: network, transform, the median ratio of a forward behind it to the bare one."""
    text, shape = NETWORKS[name]
    with seeded("benchmark", name):
        network: nn.Module = vb.models.build(text).eval().to(memory_format=torch.channels_last)
    x = torch.rand(batch, *shape)
    guarded = {one: vb.defences.load(one, key=vb.Secret.public(7)).wrap(network) for one in TRANSFORMS}
    tasks = {"bare": lambda: network(x), **{one: (lambda g=g: g(x)) for one, g in guarded.items()}}
    with torch.no_grad():
        seconds = interleaved(tasks, rounds, clock=clock)
    return [[name, one, f"{ratio(seconds, one, 'bare'):.3f}"] for one in TRANSFORMS]


def main() -> None:
    parser = setting.arguments(__doc__.splitlines()[0], images=128, rounds=31)
    options = setting.read(parser)
    rows = [row for name in NETWORKS for row in rows_of(name, options.images, options.rounds, CLOCKS[options.clock])]
    text = f"A forward of {options.images} images, {options.clock} time.\n\n"
    publish("keyed", text + table(["network", "transform", "time / bare"], rows), setting.machine(), options.write)


if __name__ == "__main__":
    main()
