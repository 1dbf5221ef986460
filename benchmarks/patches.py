"""Patch replacement against the bare network in one run: `python -m benchmarks.patches`.

Beside: vectors a second that E8 answers, and the memory of learning a codebook at two numbers of images. Weights are
random: what is computed does not depend on them.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator

import torch
from torch import Tensor, nn

import vauban as vb
from benchmarks import setting
from benchmarks.tables import publish, table
from benchmarks.timing import CLOCKS, Clock, interleaved, ratio
from vauban.core.contracts import Batch
from vauban.core.rng import seeded
from vauban.defences.features.codebook import Codebook
from vauban.defences.features.lattice import nearest_in_e8
from vauban.defences.features.patch_fitter import FitPatches
from vauban.defences.features.patches import Patches

SHAPE = (3, 32, 32)


def codebook(words: int) -> Codebook:
    """Random codewords of 3x3 patches, one book for each colour of a CIFAR-10 image."""
    return Codebook(torch.rand(3, words, 9), "image", 3, 1, SHAPE, SHAPE)


def replacement(x: Tensor, words: int, rounds: int, clock: Clock) -> list[list[object]]:
    """Rows: network, milliseconds of its forward and of the same behind patches, and the median ratio."""
    rows: list[list[object]] = []
    book = codebook(words)
    for name, width in (("nine convolutions", 1.0), ("quartered", 0.25)):
        with seeded("benchmark", name):
            network: nn.Module = vb.models.cifar10_thesis(width=width).eval()
        guarded = Patches(book=book).wrap(network)
        with torch.no_grad():
            seconds = interleaved(
                {"bare": lambda n=network: n(x), "patches": lambda g=guarded: g(x)}, rounds, clock=clock
            )
        bare, defended = (statistics.median(seconds[key]) * 1000 for key in ("bare", "patches"))
        rows.append([name, f"{bare:.0f}", f"{defended:.0f}", f"{ratio(seconds, 'patches', 'bare'):.2f}"])
    return rows


def lattice(vectors: int, rounds: int, clock: Clock) -> float:
    """Vectors a second, the median over the rounds."""
    x = torch.randn(-(-vectors // 4000), min(vectors, 4000), 8)
    times = []
    for _ in range(rounds + 1):
        began = clock()
        for part in x:
            nearest_in_e8(part)
        times.append(clock() - began)
    return vectors / statistics.median(times[1:])


def learn(images: int, words: int) -> float:
    """MiB of memory that this process has held at most after learning codewords from so many images."""

    def stream() -> Iterator[Batch]:
        for first in range(0, images, 64):
            ids = torch.arange(first, min(images, first + 64))
            yield Batch(torch.rand(len(ids), *SHAPE), torch.zeros(len(ids), dtype=torch.int64), ids)

    FitPatches(codewords=words, sample=50_000, iterations=2).fit(None, stream())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def learned(images: int, words: int) -> str:
    """What `learn` says in a process of its own."""
    call = [sys.executable, "-m", "benchmarks.patches", "--learn", str(images), "--words", str(words)]
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = setting.arguments("Patch replacement against the bare network.", images=64, rounds=5)
    parser.add_argument("--words", type=int, default=4096)
    parser.add_argument("--learn", type=int, help="only learn a codebook from so many images, and tell the memory")
    options = setting.read(parser)
    if options.learn is not None:
        print(f"{learn(options.learn, options.words):.0f}")
        return
    torch.manual_seed(0)
    rows = replacement(torch.rand(options.images, *SHAPE), options.words, options.rounds, CLOCKS[options.clock])
    sizes = ", ".join(f"{learned(n, options.words)} MiB with {n} images" for n in (500, 4000))
    rate = lattice(200_000, options.rounds, CLOCKS[options.clock]) / 1e6
    head = ["network", "bare, ms", "behind patches, ms", "ratio"]
    text = (
        f"A batch of {options.images} images 3x32x32, random weights, K = {options.words}, patches 3x3x1 at step 1, "
        f"{options.clock} time.\n\n{table(head, rows)}\n\nE8: {rate:.1f} million "
        f"vectors a second. Learning a codebook from 50 000 places, two iterations, a process holds at most {sizes}."
    )
    publish("patches", text, setting.machine(), options.write)


if __name__ == "__main__":
    main()
