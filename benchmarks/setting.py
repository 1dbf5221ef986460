"""The network and the images of a benchmark, from the command line."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import vauban as vb
from benchmarks.timing import CLOCKS
from vauban.core.contracts import Batch
from vauban.core.errors import VaubanError
from vauban.engine.samples import Samples, as_samples
from vauban.jobs.allocator import keep_freed
from vauban.training.loop import optimise


@dataclass(frozen=True)
class Images:
    """28x28 grey images on the 8-bit grid: what they are called, some to train on and some to attack."""

    name: str
    train: Samples
    test: Samples


def arguments(purpose: str, **defaults: int) -> argparse.ArgumentParser:
    """The options that the benchmarks share; `images` and `rounds` have defaults of their own."""
    parser = argparse.ArgumentParser(description=purpose)
    parser.add_argument("--data-root", type=Path, help="folder with MNIST/raw; without it the digits of scikit-learn")
    parser.add_argument("--weights", type=Path, help="weights of mnist-c4; without them one epoch is trained here")
    parser.add_argument("--images", type=int, default=defaults.get("images", 256))
    parser.add_argument("--rounds", type=int, default=defaults.get("rounds", 5), help="interleaved repetitions")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: of this process, where others use the machine"
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="replace this benchmark's section of a Markdown file"
    )
    return parser


def read(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options of the command line, having set the process as the command line of vauban does."""
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed()
    return options


def images(root: Path | None) -> Images:
    """MNIST from `root`, else the handwritten digits enlarged to 28x28: said in the name and on the screen."""
    try:
        train, test = (vb.data.load(f"mnist/{split}", root=root) for split in ("train", "test"))
        return Images("MNIST", train, test)
    except VaubanError as error:
        print(f"no MNIST ({error}); using the handwritten digits, enlarged to 28x28")
        train, test = (vb.data.load(f"digits/{split}").all() for split in ("train", "test"))
        return Images("digits 28x28", as_samples(_enlarged(train)), as_samples(_enlarged(test)))


def _enlarged(batch: Batch) -> Batch:
    x = F.interpolate(batch.x, size=28, mode="bilinear").clamp(0, 1)
    return Batch((x * 255).round() / 255, batch.y, batch.ids)


def network(weights: Path | None, data: Images) -> tuple[nn.Module, str]:
    """C4 from a weights file, else trained here for one epoch (ten where there are few images), and its description."""
    if weights is not None:
        return vb.models.load(f"mnist-c4:weights={weights}"), "C4, weights from a file"
    epochs = 1 if len(data.train) > 10_000 else 10
    model = vb.models.build("mnist-c4")
    print(f"training C4 on {data.name} for {epochs} epoch(s)")
    optimise(model, data.train, epochs=epochs, batch=128 if epochs == 1 else 32)
    return model.eval(), f"C4, {epochs} epoch(s)"


def first(data: Images, n: int) -> tuple[Tensor, Tensor]:
    """The first n test images and their labels."""
    batch = data.test.batch(torch.arange(min(n, len(data.test))))
    return batch.x, batch.y


def correct(model: nn.Module, data: Images, n: int) -> tuple[Tensor, Tensor]:
    """The first n test images that the network labels correctly."""
    x, y = first(data, 2 * n)
    with torch.no_grad():
        right = model(x).argmax(1) == y
    return x[right][:n], y[right][:n]


def machine() -> str:
    """One line: cores, load, torch, threads."""
    load = ", ".join(f"{v:.1f}" for v in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, no GPU used, torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"load average {load} at the end of the run"
    )
