"""Beyond chapter 6: patch replacement and its competitors under an attacker who knows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vauban.attacks.blackbox.hopskipjump import HopSkipJump
from vauban.attacks.blackbox.square import Square
from vauban.attacks.fixed_budget.apgd import APGD
from vauban.attacks.minimal.bp import BP
from vauban.attacks.smooth.ddn import SmoothDDN
from vauban.core.losses import margin
from vauban.core.norms import L2
from vauban.engine import Attack, Restarts
from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Craft, Scale, TableCell
from vauban.reproduce.papers.thesis6.attacks import craft, trial
from vauban.reproduce.papers.thesis6.networks import FINAL, RULED, Base, Parts, role_of
from vauban.reproduce.papers.thesis6.setting import COMPETITORS, DEFLECTION, accuracy, judge_of, register_experiment

RADII = {"colours": 0.5, "cifar10": 0.5, "mnist": 2.0, "imagenet": 2.0}
"""L2 distance within which an image counts, pixels of [0,1], by the data."""
DRAWS = 8
"""Gradients averaged through the random competitor."""
PATCHES = "patch replacement"
OWN_BOOK = "attacker's own codebook"
DIRECT = ("APGD", "BP", "smooth DDN", "Square", "HopSkipJump")


def radius(scale: Scale) -> float:
    return next(value for name, value in RADII.items() if scale.data.startswith(name))


def variants() -> Mapping[str, Parts]:
    """The final setting as the attacker writes it: with other backward rules, or a codebook from his own images."""
    return {**RULED, OWN_BOOK: tuple(replace(part, attackers=True) for part in FINAL[PATCHES])}


def parts(base: Base) -> list[Parts]:
    return [*FINAL.values(), *variants().values()]


def attacks(scale: Scale) -> dict[str, Attack]:
    """The attacks by name; those inside a ball have the radius within which an image counts."""
    ball, few = L2(radius(scale)), trial(scale)
    return {
        "APGD": Restarts(APGD(ball, steps=2 if few else 50, loss=margin), 2 if few else 3),
        "BP": BP(steps=2 if few else 100),
        "smooth DDN": SmoothDDN(steps=2 if few else 100),
        "Square": Square(ball, steps=5 if few else 2000),
        "HopSkipJump": HopSkipJump(2 if few else 12, L2, queries=10 if few else 100, tries=20),
    }


def crafts(defence: str, scale: Scale) -> dict[str, Craft]:
    """What each attack makes against a defence, or against the undefended network."""
    judge = judge_of(defence, scale)
    draws = (2 if trial(scale) else DRAWS) if defence == DEFLECTION else 1
    known = attacks(scale)
    made = {name: craft(known[name], judge.networks[0], judge.path, keep_best=True, draws=draws) for name in DIRECT}
    if defence == PATCHES:
        for name, through in variants().items():
            made[f"APGD, {name}"] = craft(known["APGD"], role_of(through), keep_best=True)
    return made


DEFENCES = ("undefended", *FINAL, *COMPETITORS)


def label(defence: str, attack: str) -> str:
    return f"{defence}: fooled by {attack}"


def cells(scale: Scale) -> list[TableCell]:
    """Clean accuracy of each defence, and the share that each attack and all together fool within the radius."""
    made = []
    for defence in DEFENCES:
        judge, at = judge_of(defence, scale), radius(scale)
        made.append(accuracy(None, judge, f"{defence}: clean accuracy"))
        every = crafts(defence, scale)
        made += [TableCell(run, judge, "P_upp", {}, label(defence, name), (), at) for name, run in every.items()]
        first, *others = every.values()
        made.append(TableCell(first, judge, "P_upp", {}, label(defence, "any of them"), tuple(others), at))
    return made


CLAIMS = (
    Claim(
        "An attacker who knows patch replacement fools fewer images than without a defence",
        "section 6.6, under another attacker than the thesis's",
        (Larger(label("undefended", "any of them"), label(PATCHES, "any of them")),),
    ),
    Claim(
        "and fewer than with the other defences",
        "section 6.6, under another attacker than the thesis's",
        tuple(Larger(label(name, "any of them"), label(PATCHES, "any of them")) for name in COMPETITORS),
    ),
    Claim(
        "The codebook need not be known: one from the attacker's own images fools no less than five points fewer",
        "section 6.1, which counts on training data that the attacker does not know",
        (Larger(label(PATCHES, f"APGD, {OWN_BOOK}"), label(PATCHES, "APGD"), by=-0.05),),
    ),
    *(
        Claim(
            f"{name} fools no more than two points more than APGD",
            "a sign that gradients are masked where it does not hold",
            (Larger(label(PATCHES, "APGD"), label(PATCHES, name), by=-0.02),),
        )
        for name in ("Square", "HopSkipJump", "BP", "smooth DDN")
    ),
)

register_experiment(
    "6-adaptive",
    "Beyond chapter 6: its defences under an attacker who knows them",
    cells,
    parts,
    claims=CLAIMS,
    names=("smoke", "small", "small-mnist", "paper"),
    images={"small": 100, "small-mnist": 100},
    minutes={"small": 300, "small-mnist": 300},  # 15 s an image where Square and HopSkipJump ask patch replacement
)
