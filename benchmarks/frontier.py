"""The speed-distortion frontier: rounded distances in one norm at an equal number of gradients, per quantile of the images.

`python -m benchmarks.frontier --model NAME:weights=FILE --data mnist/test[:500] --norm l2 --steps 20 100`. For each
budget: success, mean (of the successes), median (failures as infinite), the nine deciles, and how far each attack's
operating characteristic P(D) is from the best of the others: the mean over the quantiles 5 %, ..., 97 %, 99 % of D(P) /
min D_other(P) - 1, and the worst of them; negative means nearer than every other attack. Then, for one attack (`--of`),
the ratio of its mean distance to that of each other, on the images on which both succeed, with a paired 95 % interval:
percentiles of 2000 resamplings of the images. `--ablation` has Vanguard without each of its parts for rivals.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import vauban as vb
from benchmarks import setting
from benchmarks.tables import publish, table
from vauban import L0, L1, L2, Linf, attacks
from vauban.core.losses import cross_entropy, margin
from vauban.core.norms import Norm
from vauban.data import Dataset
from vauban.engine import Attack, Bisection, BoundThreat, Oracle

FAR = 1e3  # stands for a failure, so that quantiles are finite
QUANTILES = torch.cat([torch.linspace(0.05, 0.97, 24), torch.tensor([0.99])])
RESAMPLINGS = 2000
NORMS = {"l2": L2, "linf": Linf, "l1": L1, "l0": L0}
Makers = dict[str, Callable[[int], Attack]]


def contenders(norm: Norm) -> Makers:
    """Attacks of a norm, made from the number of gradients, at most."""
    if norm is L0:
        return {
            "sigma-zero": lambda n: attacks.SigmaZero(n),
            "FMN": lambda n: attacks.FMN(n, norm),
            "C&W L0": lambda n: attacks.CWL0(n),
            "JSMA": lambda n: attacks.JSMA(n),
            "JSMA, as printed": lambda n: attacks.JSMA(n, output="logits", signs="one"),
        }
    common: Makers = {
        "Vanguard": lambda n: attacks.Vanguard(n, norm),
        "Sapper": lambda n: attacks.Sapper(n, norm),
        "FMN": lambda n: attacks.FMN(n, norm),
        "FMN, annealed": lambda n: attacks.FMN(n, norm, gamma=0.3, gamma_last=0.01),
    }
    radius = {"l2": 1.0, "linf": 0.1, "l1": 10.0}[norm.name]
    common["APGD, radius searched"] = lambda n: Bisection(
        attacks.APGD(norm(radius), steps=n // 5, loss=cross_entropy, random_start=False), "eps", radius, rounds=5
    )
    if norm is not L2:
        return common
    return common | {
        "DDN": lambda n: attacks.DDN(steps=n),
        "DDN, as printed": lambda n: attacks.DDN(steps=n, gamma=0.05, gamma_last=0.05, state="quantised"),
        "BP": lambda n: attacks.BP(steps=n),
        "BP, as printed": lambda n: attacks.BP(steps=n, retreat=False, state="quantised"),
        "BP, margin": lambda n: attacks.BP(steps=n, loss=margin),
        "C&W, one constant": lambda n: attacks.CW(search_steps=1, steps=n, lr=0.1, c=10.0),
    }


def parts(norm: Norm) -> Makers:
    """Vanguard and what is left of it without a part."""
    return {
        "Vanguard": lambda n: attacks.Vanguard(n, norm),
        "no annealed march": lambda n: attacks.Vanguard(n, norm, annealed="none"),
        "annealed, all images": lambda n: attacks.Vanguard(n, norm, annealed="all"),
        "equal factors of the radius": lambda n: attacks.Vanguard(n, norm, gamma=0.05, gamma_last=0.05),
        "annealed march alone": lambda n: annealed_alone(n, norm),
    }


def annealed_alone(n: int, norm: Norm) -> Attack:
    """The attack whose step the annealed march takes."""
    return attacks.DDN(n) if norm is L2 else attacks.FMN(n, norm, gamma=0.3, gamma_last=0.01)


def distances(attack: Attack, network: nn.Module, data: Dataset, batch: int) -> Tensor:
    """The rounded distance of every image that the network labels right, FAR where the attack fails."""
    measured = []
    for index in torch.split(torch.arange(len(data)), batch):
        part = data.batch(index)
        with torch.no_grad():
            right = network(part.x).argmax(1) == part.y
        oracle = Oracle.open(
            BoundThreat(network, levels=part.levels), part.x[right], part.y[right], ids=part.ids[right]
        )
        measured.append(attack.run(oracle).distance)
    return torch.cat(measured).clamp_max(FAR)


def compared(measured: dict[str, Tensor]) -> list[list[object]]:
    """Rows: attack, images, success, mean, median, mean and worst of the quantiles against the best other, in percent."""
    at = {name: torch.quantile(d, QUANTILES.to(d)) for name, d in measured.items()}
    rows: list[list[object]] = []
    for name, d in measured.items():
        other = torch.stack([q for rival, q in at.items() if rival != name]).amin(0)
        gap = 100 * (at[name] / other - 1)
        reached = d[d < FAR]
        row: list[object] = [name, len(d), f"{len(reached) / len(d):.3f}", f"{float(reached.mean()):.4f}"]
        rows.append([*row, _distance(d.median()), _shown(gap.mean()), _shown(gap.max())])
    return rows


def deciles(measured: dict[str, Tensor]) -> list[list[object]]:
    """Rows: attack and the distances that 10 %, ..., 90 % of the images do not exceed."""
    tenths, rows = torch.linspace(0.1, 0.9, 9), list[list[object]]()
    for name, d in measured.items():
        farthest = d.where(d < FAR, 0).max()  # what is interpolated toward a failure is one
        rows.append([name, *(_distance(v if v <= farthest else FAR) for v in torch.quantile(d, tenths.to(d)))])
    return rows


def paired(measured: dict[str, Tensor], of: str, seed: int) -> list[list[object]]:
    """Rows: rival, images that both reach, ratio of the mean distances of `of` and it, ends of the 95 % interval."""
    rows: list[list[object]] = []
    for name, d in measured.items():
        both = (d < FAR) & (measured[of] < FAR)
        if name == of or not both.any():
            continue
        pair = torch.stack([measured[of][both], d[both]])
        draw = torch.randint(pair.shape[1], (RESAMPLINGS, pair.shape[1]), generator=torch.Generator().manual_seed(seed))
        means = pair[:, draw].mean(2)
        ends = torch.quantile(means[0] / means[1], torch.tensor([0.025, 0.975]).to(means))
        ratio = pair[0].mean() / pair[1].mean()
        rows.append([name, pair.shape[1], *(f"{float(v):.4f}" for v in (ratio, *ends))])
    return rows


def _distance(d: Tensor | float) -> str:
    return f"{float(d):.4f}" if d < FAR else "fails"


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
    parser.add_argument("--norm", choices=list(NORMS), default="l2")
    parser.add_argument("--only", nargs="+", metavar="ATTACK", help="the attacks of these names")
    parser.add_argument("--ablation", action="store_true", help="Vanguard without each of its parts")
    parser.add_argument("--of", help="the attack whose paired intervals are told; Vanguard, in l0 sigma-zero")
    parser.add_argument("--seed", type=int, default=0, help="of the resamplings")
    options = setting.read(parser)
    network, data = vb.models.load(options.model), vb.data.load(options.data, root=options.data_root)
    norm = NORMS[options.norm]
    makers = parts(norm) if options.ablation else contenders(norm)
    makers = {name: make for name, make in makers.items() if not options.only or name in options.only}
    of = options.of or ("sigma-zero" if norm is L0 else "Vanguard")
    if of not in makers:
        parser.error(f"expected --of as one of {', '.join(makers)}, got {of!r}")
    text = (
        f"{Path(options.model).name} on {options.data}, {norm}, rounded to its grid; percent against the best other.\n"
    )
    header = ["attack", "images", "success", "mean", "median", "mean of quantiles", "worst quantile"]
    for n in options.steps:
        measured = {name: distances(make(n), network, data, options.batch) for name, make in makers.items()}
        text += f"\n{n} gradients:\n\n{table(header, compared(measured))}\n"
        text += f"\n{table(['attack', *(f'{p} %' for p in range(10, 100, 10))], deciles(measured))}\n"
        ratio = [f"{of} against", "images", "ratio of means", "from", "to"]
        text += f"\n{table(ratio, paired(measured, of, options.seed))}\n"
    publish("frontier", text, setting.machine(), options.write)


if __name__ == "__main__":
    main()
