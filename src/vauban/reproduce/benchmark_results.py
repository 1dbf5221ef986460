"""Results of a benchmark: whether an evaluation found the best attack known, warned that it had not, or was silent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from vauban.reproduce.benchmark import Standing
from vauban.reproduce.judged import Array

NEAR = 0.05
"""Share of the images by which an evaluation may exceed the best attack known and still have found it."""
LEAST = 0.10
"""Share of the images that the best attack known must break for there to be anything to find."""
MASKING = frozenset(
    {
        "black-box-beats-white-box",
        "gradient-explains-little",
        "gradient-mismatch",
        "gradient-mismatch-at-scale",
        "gradient-unsound-off-image",
        "nonfinite-gradients",
        "one-hot",
        "piecewise-constant",
        "saturated-loss",
        "targeted-beats-untargeted",
        "test-time-optimisation",
        "transfer-beats-white-box",
        "unstable-predictions",
    }
)
"""Codes of warnings that say that a gradient may mislead; every invalid finding says so too."""
LOOK = frozenset(
    {"gradient-explains-little", "gradient-mismatch-at-scale", "gradient-unsound-off-image", "no-adaptive-attack-known"}
)
"""Codes of the look of the automatic threat, which white-box alone does not have."""
Outcome = Literal["found", "flagged", "silent", "nothing to find"]


@dataclass(frozen=True)
class EntryResult:
    """What an evaluation says of an entry.

    Attributes:
        standing: The entry.
        accuracy: By "clean", "by hand", "white-box", "auto", "adaptive".
        fired: Codes of masking findings by "white-box" and "auto".
        outcome: By the same two.
        passes: Of an image, by the same two; those of the look are in "auto".
        seen: What the automatic threat saw and did.
    """

    standing: Standing
    accuracy: Mapping[str, float]
    fired: Mapping[str, tuple[str, ...]]
    outcome: Mapping[str, Outcome]
    passes: Mapping[str, float]
    seen: str

    @classmethod
    def of(cls, standing: Standing, rows: Sequence[pa.Table]) -> EntryResult:
        """From the judged rows of its cells, with the first seed."""
        right = [one["label"].to_numpy() == one["y"].to_numpy() for one in rows]
        hands = len(standing.by_hand)
        own = {"clean": right[0], "by hand": np.all(right[1 : 1 + hands], axis=0)}
        own |= {"white-box": right[1 + hands], "auto": right[2 + hands]}
        if standing.adaptive is not None:
            own["adaptive"] = right[3 + hands]
        accuracy = {name: float(one.mean()) for name, one in own.items()}
        study = rows[2 + hands]
        fired = {name: masking(study["findings"][0].as_py(), name == "auto") for name in ("white-box", "auto")}
        best = known([own[name] for name in ("by hand", "adaptive") if name in own], right[0])
        outcome = {
            name: judged(accuracy["clean"], best, accuracy[name], bool(fired[name])) for name in ("white-box", "auto")
        }
        return cls(standing, accuracy, fired, outcome, passes(study), str(study["seen"][0].as_py()))

    @property
    def quiet(self) -> bool:
        """Whether nothing fires."""
        return not self.fired["auto"]


def known(right: Sequence[Array], clean: Array) -> float:
    """Accuracy under the best attack known: what is right without attack and under all of these."""
    return float(np.all([clean, *right], axis=0).mean())


def judged(clean: float, best: float, reached: float, fired: bool) -> Outcome:
    """Whether an evaluation that leaves `reached` of the images right has found an attack that leaves `best`."""
    if clean - min(best, reached) < LEAST:
        return "nothing to find"
    if reached <= best + NEAR + 1e-9:
        return "found"
    return "flagged" if fired else "silent"


def masking(findings: Iterable[Mapping[str, str]], looked: bool) -> tuple[str, ...]:
    """Codes of the findings that say that a number cannot be relied on, sorted.

    Args:
        findings: Of a study: threat, code and severity.
        looked: Whether the automatic threat has looked; else only what white-box says of itself counts.
    """
    return tuple(
        sorted(
            {
                one["code"]
                for one in findings
                if (one["severity"] == "invalid" or one["code"] in MASKING)
                and (looked or (one["threat"] == "white-box" and one["code"] not in LOOK))
            }
        )
    )


def passes(study: pa.Table) -> dict[str, float]:
    """Forwards and backwards of an image, those of the look in "auto"."""
    spent = [dict(one) for one in study["passes"].to_pylist()]
    first = float(np.mean([one["white-box"] for one in spent]))
    every = float(np.mean([sum(one.values()) for one in spent]))
    return {"white-box": first, "auto": every + float(study["looked"][0].as_py())}
