"""Median filter beside kornia's: `python -m benchmarks.median --threads 1 --clock cpu`.

Both are given the same images, with and without a backward pass; their answers differ in the border alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks import setting
from benchmarks.tables import publish, table
from benchmarks.timing import CLOCKS, Clock, Task, interleaved, ratio
from vauban.defences.inputs.median_filter import MedianFilter

SHAPES = {"32": (64, 3, 32, 32), "224": (16, 3, 224, 224)}


def rows_of(side: str, size: int, rounds: int, clock: Clock) -> list[list[object]]:
    """A row: side of the images and of the window, and how much longer kornia takes, forward and with a backward pass."""
    from kornia.filters import median_blur

    x = torch.rand(*SHAPES[side], generator=torch.Generator().manual_seed(1))
    ours = MedianFilter(size)

    def followed(blurred: Task) -> Task:
        return lambda: torch.autograd.grad(blurred().sum(), leaf)  # type: ignore[attr-defined]

    def kornias(images: Tensor) -> Tensor:
        return median_blur(images, size)

    leaf = x.clone().requires_grad_(True)
    tasks: dict[str, Task] = {
        "ours": lambda: ours.apply(x),
        "kornia": lambda: kornias(x),
        "ours, backward": followed(lambda: ours.apply(leaf)),
        "kornia, backward": followed(lambda: kornias(leaf)),
    }
    seconds = interleaved(tasks, rounds, clock=clock)
    factors = [ratio(seconds, f"kornia{way}", f"ours{way}") for way in ("", ", backward")]
    return [[f"{side} x {side}", f"{size} x {size}", *(f"{factor:.2f}" for factor in factors)]]


def main() -> None:
    parser = setting.arguments(__doc__.splitlines()[0], rounds=5)
    options = setting.read(parser)
    clock = CLOCKS[options.clock]
    rows = [row for side in SHAPES for size in (3, 5) for row in rows_of(side, size, options.rounds, clock)]
    header = ["images", "window", "kornia / ours", "with a backward pass"]
    publish("median", f"{options.clock} time.\n\n{table(header, rows)}", setting.machine(), options.write)


if __name__ == "__main__":
    main()
