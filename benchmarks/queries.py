"""Attacks by labels and scores: how near and how often for how many questions, beside Foolbox where it is installed.

`python -m benchmarks.queries --images 64`. The network is the digits network that comes with vauban. Every
returned image is judged by the same code, and questions are counted at the network. Distances are medians with failures
infinite; an attack inside a ball has the share that it fools there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

import vauban as vb
from benchmarks import setting
from benchmarks.contenders import Attacked, available
from benchmarks.passes import Traced
from benchmarks.peers import distances
from benchmarks.tables import publish, table
from vauban import L2, Linf, attacks
from vauban.core.norms import Norm
from vauban.engine import Attack, BoundThreat, Oracle

EPS = 0.2
BUDGETS = (100, 300, 1000)
OURS: dict[str, tuple[Norm, Callable[[int], Attack]]] = {
    "hopskipjump": (L2, lambda n: attacks.HopSkipJump(steps=n, tries=50)),
    "boundary": (L2, lambda n: attacks.BoundaryAttack(n)),
    "rays": (Linf, lambda n: attacks.RayS(n)),
    "zoo": (L2, lambda n: attacks.ZOO(1, n, coordinates=16, lr=0.05, c=10.0)),
    "square": (Linf, lambda n: attacks.Square(Linf(EPS), steps=n)),
    "nes": (Linf, lambda n: attacks.NES(Linf(EPS), steps=n)),
    "spsa": (Linf, lambda n: attacks.SPSA(Linf(EPS), steps=n)),
}
"""By name the norm that an attack is measured in, and the attack for a number of questions at most."""
THEIRS: dict[str, Callable[[int], tuple[str, dict[str, object]]]] = {
    "hopskipjump": lambda n: ("HopSkipJumpAttack", {"steps": max(1, n // 120), "max_gradient_eval_steps": 100}),
    "boundary": lambda n: ("BoundaryAttack", {"steps": max(1, n - 30)}),
}
"""Foolbox's attacks, which count steps and not questions: as many as ask about that often."""


def by_us(attack: Attack, budget: int, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """What an attack of ours makes with a number of questions for each image."""
    return attack.run(Oracle.open(BoundThreat(network, levels=None, budget=budget), x, y)).adversarial


def by_foolbox(name: str, params: dict[str, object], network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """What an attack of Foolbox's makes; it begins at an image of another class that it draws as ours do."""
    import foolbox

    start = foolbox.attacks.LinearSearchBlendedUniformNoiseAttack(steps=20)
    made = getattr(foolbox.attacks, name)(init_attack=start, **params)
    model = foolbox.PyTorchModel(network, bounds=(0, 1), device=x.device)
    return made(model, x, y, epsilons=None)[1]  # type: ignore[no-any-return]


def row(name: str, kit: str, budget: int, norm: Norm, run: Attacked, x: Tensor, y: Tensor) -> list[object]:
    """Row: attack, toolkit, questions that it may ask and asked, share fooled within EPS, median distance."""
    network = Traced(vb.models.load("digits-cnn"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = run(network, x, y).detach()
    asked = network.forwards / len(x)
    distance = distances(network.inner, x, y, made, norm)
    within = "–" if norm is L2 else f"{float((distance <= EPS + 1e-6).float().mean()):.2f}"
    return [name, kit, budget, f"{asked:.0f}", within, float(distance.median())]


def rows_of(images: int, budgets: tuple[int, ...]) -> list[list[object]]:
    """A row for each attack, toolkit and budget, on digits that the network labels right."""
    batch = vb.data.load("digits/test").all()
    with torch.no_grad():
        right = vb.models.load("digits-cnn")(batch.x).argmax(1) == batch.y
    x, y = batch.x[right][:images], batch.y[right][:images]
    foolbox, rows = available("foolbox"), list[list[object]]()
    for name, (norm, make) in OURS.items():
        for n in budgets:
            rows.append(row(name, "vauban", n, norm, partial(by_us, make(n), n), x, y))
            if foolbox and name in THEIRS:
                rows.append(row(name, "foolbox", n, norm, partial(by_foolbox, *THEIRS[name](n)), x, y))
    return rows


def main() -> None:
    parser = setting.arguments(__doc__.splitlines()[0], images=64)
    options = setting.read(parser)
    header = ["attack", "toolkit", "questions at most", "asked", f"fooled within {EPS}", "median distance"]
    text = f"{options.images} digits of 8x8 pixels that digits-cnn labels right, L2 or Linf, not rounded.\n\n"
    publish("queries", text + table(header, rows_of(options.images, BUDGETS)), setting.machine(), options.write)


if __name__ == "__main__":
    main()
