"""Benchmark of an evaluation: what it finds of networks whose best attack is known, and what it says of sound ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from vauban.reproduce.declarations import TableCell
from vauban.reproduce.judged import Array
from vauban.statistics.intervals import wilson

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
class Standing:
    """An entry of a benchmark, as cells of rates.

    Attributes:
        name, mechanism, claim, budget: For a reader.
        inside: Whether the budget lies inside the paper's claim.
        sound: Whether it is a control.
        clean: Accuracy without attack.
        by_hand: Under each of the best attacks known.
        white_box, default: Under white-box alone, and with every way of the automatic threat; cells of one study.
        adaptive: By the card; None where there is none.
    """

    name: str
    mechanism: str
    claim: str
    budget: str
    inside: bool
    sound: bool
    clean: TableCell
    by_hand: tuple[TableCell, ...]
    white_box: TableCell
    default: TableCell
    adaptive: TableCell | None = None

    @property
    def cells(self) -> list[TableCell]:
        """Every cell, in the order in which `Told.of` takes their rows."""
        last = [] if self.adaptive is None else [self.adaptive]
        return [self.clean, *self.by_hand, self.white_box, self.default, *last]


@dataclass(frozen=True)
class Benchmark:
    """A table of what was found of each entry, and one of how often by mechanism."""

    title: str
    standings: tuple[Standing, ...]

    @property
    def cells(self) -> list[TableCell]:
        return [cell for one in self.standings for cell in one.cells]


@dataclass(frozen=True)
class Told:
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
    def of(cls, standing: Standing, rows: Sequence[pa.Table]) -> Told:
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


def tables(title: str, told: Sequence[Told]) -> list[dict[str, Any]]:
    """The tables of a benchmark, as `reproduction.json` holds them."""
    return [_entries(title, told), _counts(told), _seen(told)]


def _entries(title: str, told: Sequence[Told]) -> dict[str, Any]:
    head = ["Entry", "Mechanism", "Budget", "Claim", "Clean", "By hand", "White-box", "Auto", "Adaptive"]
    lines = []
    for one in told:
        inside = "sound" if one.standing.sound else "inside" if one.standing.inside else "outside its claim"
        rates = [_percent(one.accuracy.get(name)) for name in ("clean", "by hand", "white-box", "auto", "adaptive")]
        said = [_said(one, name) for name in ("white-box", "auto")]
        cost = [f"{one.passes[name]:.0f}" for name in ("white-box", "auto")]
        claim = f"{one.standing.claim} ({inside})" if one.standing.claim else inside
        lines.append([one.standing.name, one.standing.mechanism, one.standing.budget, claim, *rates, *said, *cost])
    head += ["White-box says", "Auto says", "Passes, white-box", "Passes, auto"]
    caption = (
        "Accuracy in percent. Found: within 5 points of the best attack known; flagged: not found, and a finding says that "
        "the number cannot be relied on; silent: neither. Passes: forwards and backwards of an image, the look included."
    )
    return {"title": title, "caption": caption, "columns": head, "rows": lines}


def _said(one: Told, name: str) -> str:
    codes = ", ".join(one.fired[name])
    if one.standing.sound:
        return f"fires: {codes}" if codes else "quiet"
    return f"{one.outcome[name]}{f' ({codes})' if codes and one.outcome[name] != 'found' else ''}"


def _counts(told: Sequence[Told]) -> dict[str, Any]:
    """How many are found, flagged, silent, by mechanism, for white-box alone and with auto, with Wilson intervals."""
    broken = [one for one in told if not one.standing.sound]
    groups: dict[str, list[Told]] = {}
    for one in broken:
        groups.setdefault(one.standing.mechanism, []).append(one)
    groups["inside their claims"] = [one for one in broken if one.standing.inside]
    groups["all"] = broken
    lines = [
        [name, attacker, *(_share(ones, attacker, outcome) for outcome in ("found", "flagged", "silent")), idle]
        for name, ones in groups.items()
        for attacker in ("white-box", "auto")
        for idle in [str(sum(one.outcome[attacker] == "nothing to find" for one in ones))]
    ]
    sound = [one for one in told if one.standing.sound]
    loud = sum(not one.quiet for one in sound)
    caption = f"Of {len(sound)} sound networks, something fires on {_rate(loud, len(sound))}."
    columns = ["Mechanism", "Threat", "Found", "Flagged", "Silent", "Nothing to find"]
    return {"title": "Found, flagged, silent", "caption": caption, "columns": columns, "rows": lines}


def _share(ones: Sequence[Told], attacker: str, outcome: str) -> str:
    counted = [one for one in ones if one.outcome[attacker] != "nothing to find"]
    return _rate(sum(one.outcome[attacker] == outcome for one in counted), len(counted))


def _rate(count: int, n: int) -> str:
    low, high = wilson(count, n)
    return f"{count} of {n} [{100 * low:.0f}-{100 * high:.0f} %]"


def _seen(told: Sequence[Told]) -> dict[str, Any]:
    lines = [[one.standing.name, one.seen] for one in told]
    return {"title": "What auto saw and did", "caption": "", "columns": ["Entry", "In words"], "rows": lines}


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
