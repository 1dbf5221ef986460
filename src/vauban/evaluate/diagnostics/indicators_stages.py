"""Indicators from the stages of one attack that runs several: what broke an image that another should have broken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vauban.attacks import registry
from vauban.core.errors import UnknownName
from vauban.evaluate.diagnostics.findings import Measured, Rule
from vauban.statistics.summary import aimed

TARGETED = frozenset({"apgd-t", "fab-t"})
QUERIES_AFTER_GRADIENTS = Rule(
    "black-box-beats-white-box",
    "warning",
    0.02,
    "behind a whole battery Square finds up to one image in a hundred on sound networks",
    "{were} broken by {stages}, without gradients, after every attack with gradients of the same battery had failed: "
    "gradients are masked, or the attacks that use them are weak.",
    "use the adaptive threat (BPDA, eot) and report the worst case over all attacks",
)
TARGETED_AFTER_UNTARGETED = Rule(
    "targeted-beats-untargeted",
    "warning",
    0.2,
    "toward single classes an attack finds a few images more; where it finds one in five, the untargeted loss misleads",
    "{were} broken toward one class after {before} had failed: the untargeted loss has no useful gradient there.",
    "use loss=margin or dlr, more restarts, and suspect masked gradients",
)
NOISE_IN_BATTERY = Rule(
    "noise-beats-gradients",
    "invalid",
    0.02,
    "of what two random points of the ball leave, attacks that follow the loss break a larger share than noise did",
    "{were} broken by random noise, a larger share than the attacks with gradients broke of the rest ({rest:.1%}).",
    "use loss=auto or margin, the adaptive threat (BPDA, eot), or a scores-only attack (square)",
)


def staged(stages: Sequence[str], columns: Mapping[str, npt.NDArray[Any]]) -> Iterator[Measured]:
    """What every rule saw of the stages of one attack, also those that stay silent; nothing for a single stage.

    Args:
        stages: Their labels, in the order in which they run.
        columns: The columns of a cell, `(n,)` each.
    """
    broken_by = np.asarray(columns.get("broken_by", np.nan), dtype=float)
    if len(stages) < 2 or not broken_by.shape:
        return
    right = aimed(columns) & (np.asarray(columns["clean_correct"]) > 0.5)
    stage, n = broken_by[right], int(right.sum())
    names = [label.partition(":")[0].partition(" ")[0] for label in stages]
    needs = [_needs(name) for name in names]
    gradients = [k for k, need in enumerate(needs) if need == "gradients"]
    if not gradients or not n:
        return
    queries = [k for k, need in enumerate(needs) if need in ("scores", "labels") and k > gradients[0]]
    queries = [k for k in queries if names[k] != "random-noise"]
    if queries:
        late = int(np.isin(stage, queries).sum())
        named = " or ".join(stages[k] for k in queries)
        yield QUERIES_AFTER_GRADIENTS.on(late, n, stages=named)
    toward = [k for k in gradients if names[k] in TARGETED]
    before = [k for k in gradients if toward and k < toward[0]]
    if before:
        count = int(np.isin(stage, toward).sum())
        yield TARGETED_AFTER_UNTARGETED.on(count, n, before=" and ".join(stages[k] for k in before))
    if names[0] == "random-noise":
        noisy, rest = int((stage == 0).sum()), int((stage != 0).sum())
        share = float(np.isin(stage, gradients).sum() / rest) if rest else 1.0
        yield NOISE_IN_BATTERY.on(noisy if noisy / n > share else 0, n, rest=share)


def _needs(name: str) -> str:
    try:
        return str(registry.get(name).facts["needs"])
    except (UnknownName, KeyError):
        return "unknown"
