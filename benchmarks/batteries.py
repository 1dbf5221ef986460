"""Robust accuracy against passes of the batteries on one network: `python -m benchmarks.batteries`.

`python -m benchmarks.batteries --model mnist-c4:weights=FILE --data "mnist/test[:1000]" --eps 0.3 --save FILE` for each
network, then `python -m benchmarks.batteries --pool FILES` for the images on which a battery and `autoattack` differ.
Images are not rounded. Beside each battery: robust accuracy with its interval, the mean passes of an image that was
attacked, audits included, the images that it and `autoattack` alone break, and the accuracy at a budget of passes an image.
`autoattack again` is `autoattack` with other random numbers: the images on which it differs from itself.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import vauban as vb
from benchmarks import setting
from benchmarks.autoattack import Scaled
from benchmarks.tables import table
from vauban.core.contracts import Batch
from vauban.defences.inputs.bit_depth import BitDepth
from vauban.statistics.estimates import rate
from vauban.statistics.intervals import clopper_pearson

BATTERIES = {
    "quick": "standard:effort=quick,eps={eps}",
    "full": "standard:eps={eps}",
    "autoattack": "autoattack:eps={eps}",
    "autoattack again": "autoattack:eps={eps}",
    "APGD-T": "apgd-t:eps={eps}",
    "MALT": "apgd-t:eps={eps},order=linearised",
    "PMA": "apgd:eps={eps},loss=pm",
}
REFERENCE, AGAIN = "autoattack", "autoattack again"
BUDGETS = (10, 30, 100, 300, 1000, 3000, 10000)
"""Passes, forward and backward, that an image may cost: columns of the curve."""


def measured(network: nn.Module, batch: Batch, eps: str, only: str, size: int) -> dict[str, dict[str, Tensor]]:
    """For each battery which images it broke and what each cost, `(n,)`; images that are wrong without an attack cost 0."""
    results = {}
    for name, word in BATTERIES.items():
        if only and name not in only.split(","):
            continue
        started = time.perf_counter()
        report = vb.attack(word.format(eps=eps), network, batch, batch_size=size, seed=int(name == AGAIN))
        results[name] = {
            "ids": batch.ids,
            "right": report.evaluated.clean.error < 0.5,
            "broken": report.success,
            "passes": report.forwards + report.backwards,
        }
        said = "" if report.audit is None else f"; audit: {report.audit}"
        print(f"{name}: {report.robust_accuracy:.4f}, {time.perf_counter() - started:.0f} s{said}", flush=True)
    return results


def standing(result: Mapping[str, Tensor], budget: float) -> np.ndarray:
    """Which images are right and not broken within a budget of passes, `(n,)`: those broken cost nothing afterwards."""
    broken = result["broken"] & (result["passes"] <= budget)
    return (result["right"] & ~broken).double().numpy()


def rows(results: Mapping[str, Mapping[str, Tensor]]) -> list[list[object]]:
    """A row for each battery."""
    reference = results.get(REFERENCE)
    lines: list[list[object]] = []
    for name, result in results.items():
        accuracy = rate(standing(result, np.inf))
        attacked = result["right"]
        alone = [""] * 2
        if reference is not None:
            alone = [
                str(int((result["broken"] & ~reference["broken"]).sum())),
                str(int((reference["broken"] & ~result["broken"]).sum())),
            ]
        lines.append(
            [
                name,
                len(attacked),
                f"{accuracy.value:.3f} [{accuracy.interval.low:.3f}, {accuracy.interval.high:.3f}]",
                f"{float(result['passes'][attacked].double().mean()):.0f}",
                *alone,
                *(f"{standing(result, budget).mean():.3f}" for budget in BUDGETS),
            ]
        )
    return lines


def pooled(files: list[Path]) -> list[list[object]]:
    """Over several networks: images, those on which each battery and the reference differ with the upper bound of their
    share, and passes over the reference's."""
    saved = [torch.load(file, weights_only=True) for file in files]
    lines: list[list[object]] = []
    for name in BATTERIES:
        runs = [(run[name], run[REFERENCE]) for run in saved if name in run and REFERENCE in run]
        if not runs or name == REFERENCE:
            continue
        n = sum(int(mine["right"].sum()) for mine, _ in runs)
        differ = sum(int((mine["broken"] ^ theirs["broken"]).sum()) for mine, theirs in runs)
        worse = sum(int((theirs["broken"] & ~mine["broken"]).sum()) for mine, theirs in runs)
        cost, of = (sum(float(pair[k]["passes"].sum()) for pair in runs) for k in (0, 1))
        bound, missed = clopper_pearson(differ, n).high, clopper_pearson(worse, n).high
        lines.append([name, len(runs), n, differ, f"{bound:.4f}", worse, f"{missed:.4f}", f"1/{of / cost:.1f}"])
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a name with weights, as in vauban evaluate")
    parser.add_argument("--data", help="e.g. mnist/test[:1000]")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--eps", default="0.3")
    parser.add_argument("--times", type=float, default=1.0, help="factor of the logits")
    parser.add_argument("--bits", type=int, default=0, help="masked by rounding to so many bits; 0: not")
    parser.add_argument("--only", default="", help="names of batteries, joined by commas")
    parser.add_argument("--batch-size", type=int, default=250)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--pool", type=Path, nargs="+", help="files that --save wrote")
    options = parser.parse_args()
    if options.pool:
        header = ["battery", "networks", "images", "differ", "at most", "missed", "at most", "passes / autoattack's"]
        print(table(header, pooled(options.pool)))
        return
    torch.set_num_threads(options.threads)
    network = vb.models.load(options.model).eval()
    network = Scaled(network, options.times) if options.times != 1 else network
    network = BitDepth(bits=options.bits).wrap(network) if options.bits else network
    whole = vb.data.load(options.data, root=options.data_root).all()
    batch = Batch(whole.x, whole.y, whole.ids, None)
    results = measured(network, batch, options.eps, options.only, options.batch_size)
    if options.save:
        torch.save(results, options.save)
    header = ["battery", "n", "robust accuracy", "passes", "alone", f"{REFERENCE} alone", *map(str, BUDGETS)]
    print(f"\n{options.model}, {options.data}, linf {options.eps}; {setting.machine()}\n")
    print(table(header, rows(results)))


if __name__ == "__main__":
    main()
