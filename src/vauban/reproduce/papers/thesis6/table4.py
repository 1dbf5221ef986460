"""Table 6.4: success and distance of BPDA with 20 iterations through each defence, and what the battery leaves."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.papers.thesis6.attacks import bpda, trial
from vauban.reproduce.papers.thesis6.networks import FINAL, RULED, Base, Parts, role_of
from vauban.reproduce.papers.thesis6.setting import (
    COMPETITORS,
    DEFLECTION,
    attained,
    bpda_on,
    path_of,
    register_experiment,
)
from vauban.reproduce.printed import rows_of

CSV = "thesis-table6.4.csv"
LIKELIER = FINAL["patch replacement"]
SMOOTHED = 16
"""Gradients averaged through the random competitor, beyond the thesis."""


def parts(base: Base) -> list[Parts]:
    return [*FINAL.values(), *RULED.values()]


def cells(scale: Scale) -> list[TableCell]:
    printed = []
    for row in rows_of(CSV):
        made, judge = bpda_on(row["defence"], scale)
        printed.append(attained(made, judge, row["metric"], f"BPDA through {row['defence']}", row))
    plain = "patch replacement, image plain"
    made, judge = bpda_on(plain, scale)
    beyond = [attained(made, judge, metric, f"BPDA through {plain}") for metric in ("P_suc", "D_avg_L2")]
    answers = Judge((role_of(LIKELIER),))
    every = bpda(scale, role_of(LIKELIER))
    for name, through in RULED.items():
        further = bpda(scale, role_of(through))
        every += further
        beyond += [attained(further, answers, metric, f"{name}") for metric in ("P_suc", "D_avg_L2")]
    beyond += [attained(every, answers, metric, "nearest of all rules") for metric in ("P_suc", "D_avg_L2")]
    path = path_of(DEFLECTION, scale)
    averaged = bpda(scale, "network", path, 2 if trial(scale) else SMOOTHED)
    judge = Judge(("network",), path)
    beyond += [attained(averaged, judge, metric, f"EOT through {DEFLECTION}") for metric in ("P_suc", "D_avg_L2")]
    return [*printed, *beyond]


CLAIMS = (
    Claim(
        "Against BPDA patch replacement fails less often than the other defences",
        "section 6.6",
        tuple(Larger(f"BPDA through {name}: P_suc", "BPDA through patch replacement: P_suc") for name in COMPETITORS),
    ),
    Claim(
        "and the images that get through are farther from their originals",
        "section 6.6",
        tuple(
            Larger("BPDA through patch replacement: D_avg_L2", f"BPDA through {name}: D_avg_L2") for name in COMPETITORS
        ),
    ),
    Claim(
        "Against the nearest image of all rules it still fails less often than the other defences",
        "section 6.6",
        tuple(Larger(f"BPDA through {name}: P_suc", "nearest of all rules: P_suc") for name in COMPETITORS),
        "beyond the thesis: soft assignment and the strategies' own derivatives beside the identity",
    ),
)

register_experiment("6.4", "Table 6.4: BPDA through the defences", cells, parts, csv=CSV, claims=CLAIMS)
