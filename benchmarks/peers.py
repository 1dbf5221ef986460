"""The same attacks in Foolbox and torchattacks: time, success and P(D) on the same network, images and steps.

`make context-peers`. The contenders take turns; each is called as its own documentation calls it. Every returned image is
judged by the same code: what the network says of it, and how far it is. A missing package is one line.
"""

from __future__ import annotations

import statistics
import time
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks import setting
from benchmarks.contenders import Attacked, Contest, available, contests
from benchmarks.passes import Traced
from benchmarks.tables import publish, table
from benchmarks.timing import CLOCKS, Clock, interleaved, ratio
from vauban.core.norms import Norm
from vauban.core.pixel_grid import PixelGrid
from vauban.core.tolerance import upper_limit


def distances(network: nn.Module, x: Tensor, y: Tensor, images: Tensor, norm: Norm) -> Tensor:
    """The distance of each image that the network mislabels and that is in [0,1], infinite for the others."""
    with torch.no_grad():
        wrong = network(images).argmax(1) != y
    inside = ((images >= 0) & (images <= 1)).flatten(1).all(1)
    return torch.where(wrong & inside, norm.size(images - x), torch.inf)


def quality(distance: Tensor, contest: Contest) -> list[object]:
    """Success (within the reach of the contest), area under P(D) from 0 to the reach, median with failures infinite."""
    within = distance <= upper_limit(contest.reach)
    area = (1 - distance.clamp_max(contest.reach) / contest.reach).mean()
    return [float(within.float().mean()), float(area), float(distance.median())]


def inside_ball(x: Tensor, images: Tensor, contest: Contest) -> Tensor:
    """Images of a ball on 256 levels without leaving it: each pixel at the nearest level that lies in the ball."""
    return PixelGrid(256, x, contest.norm(contest.reach).bind(x)).round(images)


def contest_rows(
    contest: Contest, network: nn.Module, x: Tensor, y: Tensor, rounds: int, clock: Clock = time.perf_counter
) -> list[list[object]]:
    """One row per toolkit: passes per image, seconds, its time over ours, quality unrounded, quality on the 8-bit grid.

    The last field is the success of the images rounded inside the ball, "–" for attacks that look for the nearest image.
    """
    runs: dict[str, Attacked] = {"vauban": partial(contest.ours, None)}
    runs |= {name: call for name, call in contest.theirs.items() if available(name.partition(",")[0])}
    made: dict[str, Tensor] = {}
    traced = {name: Traced(network) for name in runs}

    def call(name: str) -> None:
        traced[name].reset()
        with torch.random.fork_rng():
            torch.manual_seed(0)  # the others draw from the global generator
            made[name] = runs[name](traced[name], x, y).detach()

    slow = [name for name in runs if name == "torchattacks" and contest.name.startswith("DeepFool")]
    seconds = interleaved({name: partial(call, name) for name in runs}, rounds, slow, clock)
    rounded = {name: (image * 255).round() / 255 for name, image in made.items()}
    rounded["vauban"] = contest.ours(256, network, x, y)
    rows: list[list[object]] = []
    for name, image in made.items():
        marks = quality(distances(network, x, y, image, contest.norm), contest)
        grid = quality(distances(network, x, y, rounded[name], contest.norm), contest)
        passes = f"{traced[name].forwards / len(x):.0f} + {traced[name].backwards / len(x):.0f}"
        took = statistics.median(seconds[name])
        kept = "–"
        if contest.in_a_ball:
            near = rounded[name] if name == "vauban" else inside_ball(x, image, contest)
            kept = quality(distances(network, x, y, near, contest.norm), contest)[0]
        rows.append([contest.name, name, passes, took, ratio(seconds, name, "vauban"), *marks, *grid, kept])
    return rows


def main() -> None:
    parser = setting.arguments("Foolbox and torchattacks on the same network, images and steps.", images=256)
    parser.add_argument("--only", default="", help="attacks whose name contains this")
    options = setting.read(parser)
    data = setting.images(options.data_root)
    network, described = setting.network(options.weights, data)
    x, y = setting.correct(network, data, options.images)
    rows: list[list[object]] = []
    for contest in contests():
        if options.only in contest.name:
            rows += contest_rows(contest, network, x, y, options.rounds, CLOCKS[options.clock])
            print(f"{contest.name} done", flush=True)
    header = [
        "attack",
        "toolkit",
        "f + b per image",
        "seconds",
        "time / ours",
        "success",
        "area under P(D)",
        "median D",
        "success, 8-bit",
        "area, 8-bit",
        "median, 8-bit",
        "success, 8-bit in the ball",
    ]
    text = (
        f"{described}, {len(x)} correctly labelled test images of {data.name}, float32, one batch, "
        f"{options.clock} time. Distances: linf for PGD (D up to 0.3), L2 for the others (D up to 4); "
        "failures are infinite. 8-bit: ours rounds inside the attack, the "
        "others' images are rounded afterwards to the nearest level, which leaves the ball where 255 eps is not whole (0.3 "
        "is 76.5 levels); in the last column to the nearest level inside the ball. "
        "torchattacks' C&W has no search for c."
    )
    text += "\n\n" + table(header, rows)
    publish("peers", text, setting.machine(), options.write)


if __name__ == "__main__":
    main()
