"""Tables of a benchmark: what an evaluation says of each entry, and how often it is right, by mechanism."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vauban.reproduce.benchmark_results import EntryResult
from vauban.statistics.intervals import wilson


def tables(title: str, told: Sequence[EntryResult]) -> list[dict[str, Any]]:
    """The tables of a benchmark, as `reproduction.json` holds them."""
    return [_entries(title, told), _counts(told), _seen(told)]


def _entries(title: str, told: Sequence[EntryResult]) -> dict[str, Any]:
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


def _said(one: EntryResult, name: str) -> str:
    codes = ", ".join(one.fired[name])
    if one.standing.sound:
        return f"fires: {codes}" if codes else "quiet"
    return f"{one.outcome[name]}{f' ({codes})' if codes and one.outcome[name] != 'found' else ''}"


def _counts(told: Sequence[EntryResult]) -> dict[str, Any]:
    """How many are found, flagged, silent, by mechanism, for white-box alone and with auto, with Wilson intervals."""
    broken = [one for one in told if not one.standing.sound]
    groups: dict[str, list[EntryResult]] = {}
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


def _share(ones: Sequence[EntryResult], attacker: str, outcome: str) -> str:
    counted = [one for one in ones if one.outcome[attacker] != "nothing to find"]
    return _rate(sum(one.outcome[attacker] == outcome for one in counted), len(counted))


def _rate(count: int, n: int) -> str:
    low, high = wilson(count, n)
    return f"{count} of {n} [{100 * low:.0f}-{100 * high:.0f} %]"


def _seen(told: Sequence[EntryResult]) -> dict[str, Any]:
    lines = [[one.standing.name, one.seen] for one in told]
    return {"title": "What auto saw and did", "caption": "", "columns": ["Entry", "In words"], "rows": lines}


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
