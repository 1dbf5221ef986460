"""Contenders of a leaderboard: the networks of several runs, refused where they were not measured alike."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vauban.core.errors import ContractError
from vauban.report.run.doubts import invalid_codes
from vauban.report.run.gate import check_finished
from vauban.report.run.judged_cells import (
    attacked_cells,
    current_cells,
    every_budget,
    judged_network,
    planned_run,
    query_budget,
)
from vauban.report.shared import format as fmt
from vauban.statistics.combine import attack_word, group
from vauban.store import CellRows, Run

_BY_DEFAULT = frozenset({"adaptive", "auto", "keyed", "leaked-key", "white-box"})
"""Threats that a network has where none is named: they follow from its cards."""


@dataclass(frozen=True)
class Contender:
    """One network of one run.

    Attributes:
        folder: The run directory.
        model, defence, data: The network and what it was judged on.
        cells: Its current cells.
        invalid: Codes of the findings after which its numbers cannot be relied on.
        default_threats: Whether its threats follow from its cards, none having been named.
    """

    folder: str
    model: str
    defence: str
    data: str
    cells: tuple[CellRows, ...]
    invalid: tuple[str, ...]
    default_threats: bool

    @property
    def name(self) -> str:
        """Model and defence in words."""
        return self.model if self.defence == "none" else f"{self.model} behind {self.defence}"

    @property
    def budgets(self) -> list[tuple[str, float]]:
        """Every norm and radius at which it was attacked."""
        return every_budget(self.cells)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before trusting its number."""
        told = ["not checked for masked gradients"] if not all(cell.checked for cell in self.cells) else []
        return (*told, *(["stale"] if any(cell.stale for cell in self.cells) else []))


@dataclass(frozen=True)
class Setting:
    """What all contenders must share.

    Attributes:
        name: In words.
        of: From a contender to its value, as text of which equal ones are equal.
        told: From the values that differ to what a message says of each, in the same order.
    """

    name: str
    of: Callable[[Contender], str]
    told: Callable[[Sequence[str]], list[str]] = list


def contenders(runs: Sequence[Run]) -> list[Contender]:
    """The networks of finished runs, in the order of the runs.

    Raises:
        ContractError: A run is not finished or attacked nothing at a budget, or the networks were not measured alike; it
            names the first setting that differs, and in which folders.
    """
    several = [contender for run in runs for contender in _of_run(run)]
    for setting in SETTINGS:
        _check_shared(setting, several)
    return several


def _of_run(run: Run) -> list[Contender]:
    planned = planned_run(run)
    check_finished(planned)
    cells = [cell for cell in attacked_cells(planned) if not str(cell.meta.get("threat")).startswith("removed")]
    made = []
    for (model, defence, data), members in group(cells, judged_network).items():
        current = current_cells(members)
        default = _by_default(run, current)
        codes = invalid_codes(current, run.findings)
        made.append(Contender(str(run.path), model, defence, data, tuple(current), codes, default))
    if not any(contender.budgets for contender in made):
        raise ContractError(f"{run.path}: expected an attack at a budget, got none; a leaderboard ranks within one")
    return made


def _by_default(run: Run, cells: Sequence[CellRows]) -> bool:
    words = run.study.get("words")
    if words is not None:
        return words.get("threats") is None
    return {str(cell.meta["threat"]).partition(":")[0] for cell in cells} <= _BY_DEFAULT


def _check_shared(setting: Setting, several: Sequence[Contender]) -> None:
    by_value = group(several, setting.of)
    if len(by_value) < 2:
        return
    told = setting.told(list(by_value))
    parts = [f"{text} in {_where(members, several)}" for text, members in zip(told, by_value.values(), strict=True)]
    more = f" and {len(parts) - 3} other" if len(parts) > 3 else ""
    raise ContractError(
        f"expected runs with the same {setting.name}, got {'; '.join(parts[:3])}{more}; rank them apart"
    )


def _where(members: Sequence[Contender], several: Sequence[Contender]) -> str:
    """The folders of some contenders; with their names where a folder has others too."""
    places = {}
    for folder, own in group(members, lambda contender: contender.folder).items():
        whole = len(own) == sum(other.folder == folder for other in several)
        places[folder] = folder if whole else f"{folder} ({fmt.enumeration([contender.name for contender in own])})"
    return fmt.enumeration(list(places.values()))


def _digest(*arrays: Any) -> str:
    content = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    return hashlib.sha256(content).hexdigest()[:8]


def _ids(contender: Contender) -> str:
    told = {f"{len(ids)} images (ids {_digest(ids)})" for ids in (np.sort(c.columns["id"]) for c in contender.cells)}
    return " or ".join(sorted(told))


def _labels(contender: Contender) -> str:
    columns = contender.cells[0].columns
    return f"labels {_digest(columns['y'][np.argsort(columns['id'])])}"


def _facts(name: str) -> Callable[[Contender], str]:
    return lambda contender: " or ".join(sorted({str(cell.meta.get(name)) for cell in contender.cells}))


def _fingerprint(contender: Contender) -> str:
    return " or ".join(sorted({f"content {str(cell.meta.get('data_fingerprint'))[:8]}" for cell in contender.cells}))


def _rounding(contender: Contender) -> str:
    levels = {cell.meta.get("levels") for cell in contender.cells}
    return " or ".join(sorted("no rounding" if n is None else f"{n} pixel levels" for n in levels))


def _precision(contender: Contender) -> str:
    return " or ".join(sorted({str(cell.meta.get("precision") or "float32") for cell in contender.cells}))


def _norms(contender: Contender) -> str:
    return " and ".join(sorted({fmt.norm_name(norm) for norm, _ in contender.budgets})) or "no budget"


def _eps(contender: Contender) -> str:
    return " and ".join(f"{fmt.norm_name(norm)} {fmt.distance(eps, norm)}" for norm, eps in contender.budgets)


def _threats(contender: Contender) -> str:
    if contender.default_threats:
        return "the threats that follow from each network"
    return " and ".join(sorted({str(cell.meta["threat"]) for cell in contender.cells}))


def _effort(contender: Contender) -> str:
    settings = {
        (
            str(cell.meta["attack"]),
            json.dumps((cell.meta.get("params") or {}).get("attack"), sort_keys=True),
            str(query_budget(cell)),
        )
        for cell in contender.cells
    }
    return json.dumps(sorted(settings))


def _told_effort(values: Sequence[str]) -> list[str]:
    """Of the attacks of each, those that not all have: by name, else the parameters that differ."""
    every = [{tuple(setting) for setting in json.loads(value)} for value in values]
    common = set.intersection(*every)
    told = []
    for settings in every:
        own = sorted(settings - common)
        names = [f"{name} ({budget} queries)" if budget != "None" else name for name, _, budget in own]
        told.append(" and ".join(names) or "none of these attacks")
    if len(set(told)) < len(told):
        return [
            f"{text} (settings {hashlib.sha256(v.encode()).hexdigest()[:8]})"
            for text, v in zip(told, values, strict=True)
        ]
    return told


SETTINGS = (
    Setting("image set", _ids),
    Setting("labels", _labels),
    Setting("images", _fingerprint),
    Setting("goal", _facts("goal")),
    Setting("rounding", _rounding),
    Setting("precision", _precision),
    Setting("norm", _norms),
    Setting("eps", _eps),
    Setting("threats", _threats),
    Setting("effort", _effort, _told_effort),
)
"""In the order in which they are looked at."""


def attack_names(several: Sequence[Contender]) -> list[str]:
    """The attacks that all were given, as they were written."""
    words = {str(cell.meta["attack"]): attack_word(cell) for contender in several for cell in contender.cells}
    return sorted(" ".join([name, *params]) for name, params in words.values())
