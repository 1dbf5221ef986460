"""AttackBench: attacks as functions that its benchmark runs and counts (Cinà et al. 2025, arXiv:2404.19460).

Its hook counts a forward for each row at the nearest original, and a backward for the rows of the last forward; it scores
the nearest adversarial image that the network was asked about. An oracle asks as the hook expects: the module itself is
called, a backward follows its own forward, images are clipped before, and what a gradient has shown is not asked again.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from vauban import attacks
from vauban.attacks.foreign import Foreign
from vauban.attacks.minimal_eps import minimal_eps
from vauban.core.arguments import named_arguments
from vauban.core.contracts import check_images, check_labels
from vauban.core.errors import ContractError
from vauban.core.goals import Goal, Targeted, Untargeted, goal_of
from vauban.core.norms import Ball, norm_by_name
from vauban.core.parameters import Parameters, Range
from vauban.core.registry import Entry
from vauban.core.rng import Stream
from vauban.engine import Attack, BoundThreat, Oracle, Steps
from vauban.engine.network import predict, quiet
from vauban.words.attack import attack_of
from vauban.words.named import Named

FIRST_EPS = {"linf": 8 / 255, "l2": 0.5, "l1": 12.0}
"""Where the search of an attack inside a ball begins, by norm: the budgets that are customary on CIFAR-10."""
ROUNDS = 9


@dataclass(frozen=True)
class AttackBenchAttack(Parameters):
    """An attack as AttackBench calls it.

    Attributes:
        attack: What looks for the nearest image.
        name: What it is called, with its parameters.
        propagations: Forward and backward passes per image, as the benchmark bounds them: beyond, its answers say nothing.
        seed: Of every random number.
    """

    attack: Attack
    name: str
    propagations: Annotated[int, Range(2)] = 2000
    seed: int = 0

    @property
    def _attackbench_name(self) -> str:
        """The name in the letters that a file name may have: results are kept by it."""
        return re.sub(r"[^A-Za-z0-9._]+", "-", self.name).strip("-")

    @property
    def _attackbench_lib(self) -> str:
        return "vauban"

    def __call__(
        self, model: nn.Module, inputs: Tensor, labels: Tensor, targets: Any = None, targeted: bool = False
    ) -> Tensor:
        """Nearest adversarial images that were found; the input where there is none or it is adversarial already.

        One forward finds the images that need no attack, and the number of classes.

        Args:
            model: The network, in whatever mode; float logits for images in [0,1].
            inputs: Images `(batch, ...)` in [0,1].
            labels: True labels, int64 `(batch,)`.
            targets: Wanted labels, int64 `(batch,)`, or one for all.
            targeted: Whether the targets count.

        Returns:
            Images `(batch, ...)` in [0,1] without a gradient, each of which the model was asked about.

        Raises:
            ContractError: Images or labels are none, or targets are missing.
        """
        x, y = check_images(inputs).detach(), check_labels(labels, len(inputs))
        if targeted and targets is None:
            raise ContractError("expected targets for a targeted attack, got none")
        goal: Goal = Targeted(targets) if targeted else Untargeted()
        threat = BoundThreat(model, "attackbench", levels=None, passes=self.propagations - 1)
        with quiet(threat.parts):
            clean = predict(model, x.clone())
        aim = goal.resolve(y, clean, clean.shape[1], Stream(self.seed, torch.arange(len(x), device=x.device)))
        rows, made = (aim.aims & ~aim.reached(clean)).nonzero().squeeze(1), x.clone()
        if len(rows):
            own = goal_of(goal, rows)
            oracle = Oracle.open(threat, x[rows], y[rows], own, ids=rows, seed=self.seed, classes=clean.shape[1])
            made[rows] = self.attack.run(oracle).adversarial.to(x)
        return made


@named_arguments
def attackbench(attack: Any, *, propagations: int = 2000, rounds: int = ROUNDS, seed: int = 0) -> AttackBenchAttack:
    """An attack as AttackBench calls it: `attackbench("ddn:steps=990")`, `attackbench("apgd:norm=linf,eps=8/255")`.

    An attack inside a ball is run by a search for each image's smallest eps, which begins at the one it has.

    Args:
        attack: An attack of vauban's, or its name.
        propagations: Forward and backward passes per image, after which it ends with what it has.
        rounds: Runs of the search for the smallest eps.
        seed: Of every random number.

    Raises:
        UnknownName: A name is not known.
        ContractError: It neither looks for the nearest image nor takes steps inside a ball of one radius.
    """
    return _bench(attack_of(attack), propagations, rounds, seed)


@named_arguments
def attackbench_attacks(
    norm: str, *, propagations: int = 2000, rounds: int = ROUNDS, seed: int = 0
) -> dict[str, AttackBenchAttack]:
    """Every registered attack of a norm that fits AttackBench, with its default parameters, by name.

    Left out are those that need a file or other attacks, those that are never targeted, and batteries inside a ball.

    Args:
        norm: l0, l1, l2 or linf.
        propagations: As for `attackbench`.
        rounds: As for `attackbench`.
        seed: As for `attackbench`.

    Raises:
        UnknownName: There is no such norm.
    """
    wanted = norm_by_name(norm)
    fitting = {}
    for entry in attacks.registry:
        made = _made(entry, wanted.name)
        if made is not None and made.value.norm == wanted and _fits(made.value):
            fitting[entry.name] = _bench(made, propagations, rounds, seed)
    return fitting


def _made(entry: Entry[Any], norm: str) -> Named[Any] | None:
    """The attack of an entry in a norm; None for one that does not work alone, or not in it."""
    facts, known = entry.facts, inspect.signature(entry.make).parameters
    alone = not facts.get("combines") and not facts.get("fitted") and facts.get("targeted")
    if not alone or norm not in facts.get("norms", ()):
        return None
    given: dict[str, Any] = {"norm": norm} if {"ball", "norm"} & set(known) else {}
    if "ball" in known and known["ball"].default is not None:
        given["eps"] = FIRST_EPS.get(norm, 1.0)
    return attack_of(entry.name, **given)


def _fits(attack: Attack) -> bool:
    inside = isinstance(attack, Steps) and isinstance(attack.ball, Ball)
    return not isinstance(attack, Foreign) and (attack.ball is None or inside)


def _bench(named: Named[Any], propagations: int, rounds: int, seed: int) -> AttackBenchAttack:
    """The attack that looks for the nearest image: itself, or the search for its smallest eps."""
    attack, name = named.value, named.name
    if not _fits(attack):
        raise ContractError(
            f"expected an attack of vauban's that looks for the nearest image or takes steps inside a ball, got {name}; "
            "AttackBench scores the nearest image: name pgd, apgd, ddn, fmn, bp"
        )
    if attack.ball is not None:
        attack = minimal_eps(attack, rounds=rounds)
        name += f" rounds={rounds}" * (rounds != ROUNDS)
    return AttackBenchAttack(attack, name, propagations, seed)
