"""Threats under which two runs can be compared: those that both have, by what each means for the network at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from vauban.core.errors import ContractError
from vauban.report.run.judged_cells import attacked_how
from vauban.report.shared import format as fmt
from vauban.statistics.combine import group
from vauban.store import CellRows


class PairedThreats(NamedTuple):
    """The cells of a network in two runs that are attacked alike.

    Attributes:
        base, new: The cells.
        words: The threats of each side, and those that are left out, in one line.
    """

    base: list[CellRows]
    new: list[CellRows]
    words: str


def paired_threats(name: str, base: Sequence[CellRows], new: Sequence[CellRows]) -> PairedThreats:
    """The cells of the threats that both runs have, under the same attacks.

    `adaptive` on a network whose cards prescribe nothing is `white-box`, and either stands for both there: a bare
    network under `white-box` is compared with a defended one under `white-box` and `adaptive`. A threat of one run alone
    is left out.

    Args:
        name: The network, for the error.
        base: Its cells in the run that is compared with.
        new: Its cells in the run that is compared.

    Raises:
        ContractError: No threat is the same in both runs, or the attacks under one are not; it names the options to add.
    """
    sides = [group(cells, _threat) for cells in (base, new)]
    every = sorted({*sides[0], *sides[1]})
    pairs = {threat: tuple(_standing_for(threat, side) for side in sides) for threat in every}
    both = {threat: pair for threat, pair in pairs.items() if all(pair)}
    if not both:
        raise ContractError(
            f"{name}: expected a threat that both runs have, got {_list(sides[0])} in the base and {_list(sides[1])} in "
            f"the new run; run the new one with {_options('threat', sides[0])} too"
        )
    for threat, pair in both.items():
        _check_attacks(f"{name} under {threat}", *pair)
    kept = [list({cell.meta["hash"]: cell for pair in both.values() for cell in pair[i]}.values()) for i in (0, 1)]
    names = [fmt.enumeration(sorted({_threat(cell) for cell in cells})) for cells in kept]
    words = f"under {names[0]}" if names[0] == names[1] else f"under {names[0]} (base) and {names[1]} (new)"
    left = [f"{threat}, which the {_lacks(pairs[threat])} run has not" for threat in every if threat not in both]
    return PairedThreats(kept[0], kept[1], "; left out: ".join([words, *([fmt.enumeration(left)] if left else [])]))


def _threat(cell: CellRows) -> str:
    return str(cell.meta.get("threat"))


def _standing_for(threat: str, side: dict[str, list[CellRows]]) -> list[CellRows]:
    """The cells of a side under a threat, or under one that is the same for its network; none where there is none."""
    if threat in side:
        return side[threat]
    if not _reads_cards(threat):
        return []
    same = [cells for other, cells in sorted(side.items()) if _reads_cards(other)]
    return next((cells for cells in same if not any(map(_prescribes, cells))), [])


def _reads_cards(threat: str) -> bool:
    """Whether it is one of the two threats that differ by what they make of the cards alone."""
    return threat.partition(":")[0] in ("white-box", "adaptive")


def _prescribes(cell: CellRows) -> bool:
    """Whether a card in the network tells an attacker to do more than to differentiate it; unknown counts as yes."""
    cards: Any = (cell.meta.get("params") or {}).get("defence")
    if not isinstance(cards, list) or not all(isinstance(card, dict) for card in cards):
        return True
    return any(card.get("backward") or card.get("draws", 1) > 1 or card.get("objective") for card in cards)


def _check_attacks(what: str, base: Sequence[CellRows], new: Sequence[CellRows]) -> None:
    """Refuse two runs that attacked otherwise, with the options that one of them lacks."""
    old, now = ({(str(cell.meta.get("attack")), attacked_how(cell)) for cell in cells} for cells in (base, new))
    if old == now:
        return
    got = [fmt.enumeration(sorted(f"{attack} ({how})" for attack, how in side)) for side in (old, now)]
    lacking = [
        f"run the {run} one with {_options('attack', {attack for attack, _ in more - less})} too"
        for run, more, less in (("new", old, now), ("base", now, old))
        if {attack for attack, _ in more} > {attack for attack, _ in less}
    ]
    way = next(iter(lacking), "run both with the same --attack, --goal, --unrounded, --budget and --precision")
    raise ContractError(
        f"{what}: expected runs with the same attacks to compare them image by image, got {got[0]} in the base and "
        f"{got[1]} in the new run; {way}"
    )


def _options(option: str, words: Any) -> str:
    return " ".join(
        f'--{option} "{word}"' if set(word) & set(" []|()*") else f"--{option} {word}" for word in sorted(words)
    )


def _list(words: Any) -> str:
    return fmt.enumeration(sorted(words))


def _lacks(pair: tuple[list[CellRows], ...]) -> str:
    return "new" if pair[0] else "base"
