"""Foolbox's and torchattacks' versions of the attacks that `peers` compares, with the same steps and rates as ours."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from vauban import L2, Linf, attacks
from vauban.core.losses import cross_entropy
from vauban.core.norms import Norm
from vauban.engine import BoundThreat, Oracle, iterate

EPS, STEPS, RATE, CONSTANT = 0.3, 40, 0.5, 1.0
SHARE = 2.5 / STEPS  # of the radius, per step of PGD

Attacked = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Contest:
    """One attack in the toolkits that have it: `(network, x, y) -> images`. `ours` takes the pixel levels first; the names
    of `theirs` begin with the package. norm and reach: of P(D). in_a_ball: whether the reach is the attack's radius."""

    name: str
    norm: Norm
    reach: float
    ours: Callable[[int | None, nn.Module, Tensor, Tensor], Tensor]
    theirs: Mapping[str, Attacked]
    in_a_ball: bool = False


def _ours(make: Callable[[], object], levels: int | None, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return make().run(Oracle.open(BoundThreat(network, levels=levels), x, y)).adversarial  # type: ignore[arg-type]


def _pgd() -> attacks.PGD:
    return attacks.PGD(Linf(EPS), STEPS, SHARE, loss=cross_entropy)


def _pgd_to_the_end(levels: int | None, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    oracle = Oracle.open(BoundThreat(network, levels=levels), x, y)
    return iterate(_pgd(), oracle, stop="never").adversarial


def _foolbox(name: str, eps: float | None, network: nn.Module, x: Tensor, y: Tensor, **params: object) -> Tensor:
    import foolbox

    model = foolbox.PyTorchModel(network, bounds=(0, 1), device=x.device)
    made = getattr(foolbox.attacks, name)(**params)
    return made(model, x, y, epsilons=eps)[1]  # type: ignore[no-any-return]


def _torchattacks(name: str, network: nn.Module, x: Tensor, y: Tensor, **params: object) -> Tensor:
    import torchattacks

    return getattr(torchattacks, name)(network, **params)(x, y)  # type: ignore[no-any-return]


def available(package: str) -> bool:
    """Whether the package is installed; one line where it is not."""
    found = importlib.util.find_spec(package) is not None
    if not found:
        print(f"{package} is not installed; its columns are left out (make bench-peers installs it)")
    return found


def contests(search: int = 5, inner: int = 20, ddn: int = 100, deepfool: int = 50) -> list[Contest]:
    """PGD (to the end, and dropping finished samples), DDN, DeepFool over 10 classes, C&W with a search for c."""
    pgd = {"random_start": True, "steps": STEPS}
    their_pgd = {
        "foolbox": partial(_foolbox, "LinfPGD", EPS, abs_stepsize=SHARE * EPS, **pgd),
        "torchattacks": partial(_torchattacks, "PGD", eps=EPS, alpha=SHARE * EPS, **pgd),
    }
    cw = {"binary_search_steps": search, "steps": inner, "stepsize": RATE, "initial_const": CONSTANT}
    return [
        Contest(f"PGD-{STEPS}, all steps", Linf, EPS, _pgd_to_the_end, their_pgd, in_a_ball=True),
        Contest(f"PGD-{STEPS}", Linf, EPS, partial(_ours, _pgd), their_pgd, in_a_ball=True),
        Contest(
            f"DDN-{ddn}",
            L2,
            4.0,
            partial(_ours, lambda: attacks.DDN(ddn, gamma=0.05, gamma_last=0.05, state="quantised")),
            {"foolbox": partial(_foolbox, "DDNAttack", None, steps=ddn)},
        ),
        Contest(
            f"DeepFool-{deepfool}",
            L2,
            4.0,
            partial(_ours, lambda: attacks.DeepFool(deepfool)),
            {
                "foolbox": partial(_foolbox, "L2DeepFoolAttack", None, steps=deepfool, candidates=10),
                "torchattacks": partial(_torchattacks, "DeepFool", steps=deepfool),
            },
        ),
        Contest(
            f"C&W {search}x{inner}",
            L2,
            4.0,
            partial(_ours, lambda: attacks.CW(search, inner, RATE, CONSTANT)),
            {
                "foolbox, all steps": partial(_foolbox, "L2CarliniWagnerAttack", None, abort_early=False, **cw),
                "foolbox, early abort": partial(_foolbox, "L2CarliniWagnerAttack", None, **cw),
                "torchattacks": partial(_torchattacks, "CW", c=CONSTANT, steps=search * inner, lr=RATE),
            },
        ),
    ]
