"""Wall time of an attack against the time of its own passes on the bare network: `python -m benchmarks.overhead`.

For each attack the passes through the network are recorded once, with their batch sizes; then the attack and a replay of
exactly these passes take turns. Beside: the share of gradients that dropping finished samples saves, the memory of long
runs, and the time until the command line answers.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import vauban as vb
from benchmarks import setting
from benchmarks.passes import Traced, replay
from benchmarks.tables import publish, table
from benchmarks.timing import CLOCKS, Clock, interleaved, ratio
from vauban import L2, Linf, attacks
from vauban.core.losses import cross_entropy
from vauban.engine import Attack, BoundThreat, Oracle, Steps, iterate

EPS = 0.3
RAMP = torch.linspace(0, EPS, 784).view(1, 1, 28, 28)
HALF = torch.arange(784).view(1, 1, 28, 28) % 28 < 14  # the left half of each image
ATTACKS: dict[str, Callable[[int], Attack]] = {
    "PGD linf": lambda n: attacks.PGD(Linf(EPS), steps=n),
    "PGD l2": lambda n: attacks.PGD(L2(2.0), steps=n),
    "MI-FGSM": lambda n: attacks.MIFGSM(Linf(EPS), steps=n),
    "APGD": lambda n: attacks.APGD(Linf(EPS), steps=n, loss=cross_entropy),
    "DDN": lambda n: attacks.DDN(steps=n),
    "FMN l2": lambda n: attacks.FMN(steps=n),
    "FMN linf": lambda n: attacks.FMN(steps=n, norm=Linf),
    "BP": lambda n: attacks.BP(steps=n),
    "Sapper": lambda n: attacks.Sapper(steps=n),
    "Vanguard": lambda n: attacks.Vanguard(steps=n),
    "C&W, 2 constants": lambda n: attacks.CW(search_steps=2, steps=n // 2),
    "DeepFool, 10 classes": lambda n: attacks.DeepFool(steps=n // 4),
    "Square, 15 queries for a step": lambda n: attacks.Square(Linf(EPS), steps=15 * n),  # its default is 5000
    "CIA": lambda n: attacks.CIA(Linf(EPS), steps=n // 2),
    "CIA, mask and per-component radius": lambda n: attacks.CIA(Linf(RAMP), steps=n // 2),
    "CIA, 3 models": lambda n: attacks.CIA(Linf(EPS), steps=n // 2),
}
"""From the number of gradients."""
MODELS = {"CIA, 3 models": 3}
"""Attacks on the equal-weight sum of so many losses; one network stands for all of them, which costs what copies cost."""
MASKED = {"CIA, mask and per-component radius"}


def attack(
    made: Attack,
    network: nn.Module,
    x: Tensor,
    y: Tensor,
    levels: int | None = 256,
    *,
    models: int = 1,
    mask: Tensor | None = None,
) -> object:
    """Open the door and run; step attacks to their end, except DeepFool, whose steps end with the label."""
    sources = ((network, 1 / models),) * models if models > 1 else ()
    oracle = Oracle.open(BoundThreat(network, sources=sources, levels=levels), x, y, mask=mask)
    if isinstance(made, Steps) and not isinstance(made, attacks.DeepFool):
        return iterate(made, oracle, stop="never")
    return made.run(oracle)


def overhead(
    network: nn.Module,
    x: Tensor,
    y: Tensor,
    rounds: int,
    only: str = "",
    steps: int = 40,
    clock: Clock = time.perf_counter,
) -> list[list[object]]:
    """Rows: attack, batch, forwards and backwards per image, seconds, time over bare passes."""
    rows: list[list[object]] = []
    for name, make in ATTACKS.items():
        if only not in name:
            continue
        traced = Traced(network)
        how: dict[str, Any] = {"models": MODELS.get(name, 1), "mask": HALF if name in MASKED else None}
        attack(make(steps), traced, x, y, **how)
        tasks = {
            "attack": partial(attack, make(steps), network, x, y, **how),
            "bare": partial(replay, network, x, y, traced.trace),
        }
        seconds = interleaved(tasks, rounds, clock=clock)
        per = traced.forwards / len(x), traced.backwards / len(x)
        took = statistics.median(seconds["attack"])
        rows.append([name, len(x), f"{per[0]:.0f}", f"{per[1]:.0f}", took, ratio(seconds, "attack", "bare")])
        print(f"{name}, batch {len(x)}: {rows[-1][-1]:.3f}", flush=True)
    return rows


def active_set(network: nn.Module, x: Tensor, y: Tensor) -> list[object]:
    """PGD-40 with stop='first': the gradients it takes over 40 full batches, and its success."""
    made = attacks.PGD(Linf(EPS), steps=40, loss=cross_entropy)
    found = iterate(made, Oracle.open(BoundThreat(network), x, y), stop="first")
    share = float(found.backwards.sum()) / (40 * len(x))
    return [f"PGD-40, linf {EPS}", len(x), share, float(found.success.float().mean())]


def peak(steps: int) -> float:
    """The peak memory in MiB of a process that runs PGD with this many steps on 128 random images."""
    code = f"from benchmarks.overhead import long_run; print(long_run({steps}))"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def long_run(steps: int) -> float:
    """Run PGD in this process and return its peak memory in MiB."""
    torch.set_num_threads(1)
    x = torch.arange(128 * 784).remainder(256).div(255).view(128, 1, 28, 28)
    attack(attacks.PGD(Linf(EPS), steps=steps), vb.models.build("mnist-c4").eval(), x, torch.arange(128) % 10)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def start_up(rounds: int) -> list[list[object]]:
    """Median seconds of a bare interpreter, `import vauban` and `vauban --help`."""

    def call(*command: str) -> None:
        subprocess.run([sys.executable, *command], capture_output=True, check=True)

    helped = "import sys; sys.argv = ['vauban', '--help']; from vauban.cli import main; main()"
    tasks = {
        "python -c pass": partial(call, "-c", "pass"),
        "import vauban": partial(call, "-c", "import vauban"),
        "vauban --help": partial(call, "-c", helped),
    }
    return [[name, statistics.median(taken)] for name, taken in interleaved(tasks, rounds).items()]


def main() -> None:
    parser = setting.arguments("Wall time of attacks over the time of their passes on the bare network.", rounds=7)
    parser.add_argument("--only", default="", help="attacks whose name contains this; nothing else is measured")
    parser.add_argument("--steps", type=int, default=40, help="gradients of each attack")
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 256])
    options = setting.read(parser)
    clock = CLOCKS[options.clock]
    data = setting.images(options.data_root)
    bare = vb.models.build("mnist-c4").eval().to(memory_format=torch.channels_last)  # as `models.load` lays it out
    rows = []
    for size in options.batches:
        rows += overhead(bare, *setting.first(data, size), options.rounds, options.only, options.steps, clock)
    header = ["attack", "batch", "forwards", "backwards", "seconds", "time / bare passes"]
    text = [f"C4 with random weights, {data.name} on the 8-bit grid, {options.clock} time.", table(header, rows)]
    if not options.only:
        trained, described = setting.network(options.weights, data)
        found = active_set(trained, *setting.first(data, options.images))
        text += [
            f"Finished samples are dropped ({described}, {data.name}):",
            table(["attack", "images", "gradients / (40 x images)", "success"], [found]),
            "Peak memory of the process:",
            table(["PGD steps", "MiB"], [[steps, f"{peak(steps):.0f}"] for steps in (20, 200)]),
            "Start-up:",
            table(["command", "seconds"], start_up(options.rounds)),
        ]
    publish("overhead", "\n\n".join(text), setting.machine(), options.write)


if __name__ == "__main__":
    main()
