"""What smoothness costs sC&W beside C&W, iteration by iteration: `python -m benchmarks.smooth`.

The two attacks take turns on the same images, from the same constant, for the same number of iterations; a third task is
what sC&W does once for each image, its graph and the factorisation, which is subtracted and shown beside. The networks on
3x224x224 have random weights, which cost what trained ones cost; the photographs are scikit-learn's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

import vauban as vb
from benchmarks import setting
from benchmarks.tables import publish, table
from benchmarks.timing import CLOCKS, Clock, interleaved
from vauban import attacks
from vauban.core.rng import seeded
from vauban.engine import BoundThreat, Oracle

TARGETS = {"C4, 1x28x28": 1.3, "ResNet-50, 3x224x224": 1.3, "SqueezeNet, 3x224x224": 3.0}
"""The ratios that were asked for."""
DIGITS = {"rate": 10.0, "smoothness": 0.95}


def photographs(count: int, side: int = 224) -> Tensor:
    """Squares of scikit-learn's two photographs on the 8-bit grid, `(count, 3, side, side)`."""
    from sklearn.datasets import load_sample_images

    whole = [torch.tensor(image).permute(2, 0, 1) for image in load_sample_images().images]
    height, width = whole[0].shape[1:]
    corners = [(k * 37 % (height - side + 1), k * 101 % (width - side + 1)) for k in range(count)]
    squares = [whole[k % 2][:, i : i + side, j : j + side] for k, (i, j) in enumerate(corners)]
    return torch.stack(squares).float() / 255


def torchvision_network(name: str) -> nn.Module:
    """A network of torchvision with random weights."""
    import torchvision

    with seeded("benchmarks", name):
        network: nn.Module = getattr(torchvision.models, name)(weights=None)
    return network.eval().requires_grad_(False)


def contest(
    network: nn.Module, x: Tensor, y: Tensor, steps: int, rounds: int, clock: Clock = time.perf_counter, **graph: float
) -> list[object]:
    """A row: batch, milliseconds of an iteration of C&W and of sC&W, their ratio, milliseconds of the setup per image."""
    plain, smooth = attacks.CW(search_steps=1, steps=steps), attacks.SCW(search_steps=1, steps=steps, **graph)

    def attack(made: attacks.CW | attacks.SCW) -> object:
        return made.run(Oracle.open(BoundThreat(network), x, y))

    tasks = {"C&W": partial(attack, plain), "sC&W": partial(attack, smooth), "setup": partial(smooth.chart, x)}
    seconds = interleaved(tasks, rounds, clock=clock)
    walked = [whole - once for whole, once in zip(seconds["sC&W"], seconds["setup"], strict=True)]
    ratio = statistics.median(s / c for s, c in zip(walked, seconds["C&W"], strict=True))
    each = [1000 * statistics.median(times) / steps for times in (seconds["C&W"], walked)]
    return [len(x), *each, ratio, 1000 * statistics.median(seconds["setup"]) / len(x)]


def main() -> None:
    parser = setting.arguments("sC&W beside C&W.", images=128, rounds=5)
    parser.add_argument("--only", default="", help="networks whose name contains this; nothing else is measured")
    parser.add_argument("--steps", type=int, default=20, help="iterations of each attack")
    parser.add_argument("--photographs", type=int, default=2, help="images of 3x224x224 in a batch")
    options = setting.read(parser)
    clock = CLOCKS[options.clock]

    def digits() -> tuple[nn.Module, Tensor]:
        return vb.models.build("mnist-c4").eval(), setting.first(setting.images(options.data_root), options.images)[0]

    def large(name: str) -> tuple[nn.Module, Tensor]:
        return torchvision_network(name), photographs(options.photographs)

    made: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
        "C4, 1x28x28": digits,
        "ResNet-50, 3x224x224": partial(large, "resnet50"),
        "SqueezeNet, 3x224x224": partial(large, "squeezenet1_1"),
    }
    rows = []
    for name, make in made.items():
        if options.only not in name:
            continue
        network, x = make()
        with torch.no_grad():
            y = network(x).argmax(1)
        row = contest(network, x, y, options.steps, options.rounds, clock, **(DIGITS if "C4" in name else {}))
        rows.append([name, *row, TARGETS[name]])
        print(f"{name}: {row[3]:.3f}", flush=True)
    header = ["network", "batch", "C&W, ms", "sC&W, ms", "sC&W / C&W", "setup, ms per image", "asked for"]
    text = f"{options.steps} iterations, random weights, {options.clock} time of an iteration of the whole batch."
    publish("smooth", f"{text}\n\n{table(header, rows)}", setting.machine(), options.write)


if __name__ == "__main__":
    main()
