"""Table 6.2: success and distance of images made on the undefended network, without and with patch replacement."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.papers.thesis6.attacks import runs
from vauban.reproduce.papers.thesis6.networks import FINAL, Base, Parts, role_of
from vauban.reproduce.papers.thesis6.setting import attained, register_experiment
from vauban.reproduce.printed import rows_of

CSV = "thesis-table6.2.csv"
ATTACKS = ("DDN", "FGSM", "BIM", "PGD")
LIKELIER, PLAIN = FINAL.values()
JUDGES = {"without defence": Judge(("network",)), "with patch replacement": Judge((role_of(LIKELIER),))}


def parts(base: Base) -> list[Parts]:
    return [*FINAL.values()]


def cells(scale: Scale) -> list[TableCell]:
    printed = [
        attained(
            runs(row["attack"], scale),
            JUDGES[row["condition"]],
            row["metric"],
            f"{row['attack']} {row['condition']}",
            row,
        )
        for row in rows_of(CSV)
    ]
    plain = Judge((role_of(PLAIN),))
    beyond = [
        attained(runs(attack, scale), plain, metric, f"{attack} with patch replacement, image plain")
        for attack in ATTACKS
        for metric in ("P_suc", "D_avg_L2")
    ]
    return [*printed, *beyond]


def without(attack: str) -> str:
    return f"{attack} without defence: P_suc"


def defended(attack: str) -> str:
    return f"{attack} with patch replacement: P_suc"


CLAIMS = (
    Claim(
        "Patch replacement lowers the success of images made without knowing it",
        "section 6.4.4",
        tuple(Larger(without(attack), defended(attack)) for attack in ATTACKS),
    ),
    Claim(
        "DDN, the nearest, is stopped best",
        "section 6.4.4",
        tuple(Larger(defended(attack), defended("DDN")) for attack in ATTACKS if attack != "DDN"),
    ),
)

register_experiment("6.2", "Table 6.2: images made on the undefended network", cells, parts, csv=CSV, claims=CLAIMS)
