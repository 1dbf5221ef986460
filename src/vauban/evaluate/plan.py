"""A plan: the cells of a study, every combination of its words that makes sense."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from vauban.core.answers import check_answerable, revealed
from vauban.core.cards import carded, keys_of
from vauban.core.errors import ContractError, MissingExtra, QueriesSpent, exits_are_errors, plain
from vauban.core.goals import Goal, Targeted
from vauban.data import Dataset
from vauban.engine import Attack, BoundThreat
from vauban.engine.compiled import compiles
from vauban.evaluate.adaptation.expand import images_of, looked_at
from vauban.evaluate.adaptation.search import Adaptation
from vauban.evaluate.cell import Cell, answers
from vauban.evaluate.grants import granted, told
from vauban.evaluate.queries import drifts
from vauban.evaluate.settings import Settings
from vauban.evaluate.unchanged import state_of
from vauban.jobs.identity import describe
from vauban.threats.access import WhiteBox, by_answers
from vauban.threats.adaptive import Adaptive
from vauban.threats.auto import Auto
from vauban.threats.base import Means, Threat
from vauban.words import goal as goals
from vauban.words.model import below
from vauban.words.named import Named

log = logging.getLogger("vauban")


def make_cells(
    models: Sequence[Named[nn.Module]],
    defences: Sequence[Named[Any]],
    threats: Sequence[Named[Any]] | None,
    attacks: Sequence[Named[Attack]],
    data: Dataset,
    goal: Goal | str,
    settings: Settings,
    means: Callable[[nn.Module | None, nn.Module], Means],
    adapted: dict[str, Adaptation] | None = None,
) -> list[Cell]:
    """Every combination that makes sense, in reading order.

    Args:
        models, defences, threats, attacks, data, goal, settings: What is combined.
        means: From the network below a defence and the defended one to what an attacker can do before the attack.
        adapted: Gets what the automatic threat saw, by the label of model and defence; None: that threat is white-box, and
            no default.

    Without threats: white-box for each model, for a defence whose card prescribes more, adaptive beside it, and auto for a
    network without a card, or where the gradient of a card's rules is not that of the function and a way of auto breaks
    more; scores-only or labels-only for a network that only answers. Auto becomes a threat for each way that it finds.
    Raises AccessError, before anything runs, for an attack that a threat does not grant.
    """
    cells = []
    for model in models:
        for defence in defences:
            defended = defence.value.wrap(model.value).to(settings.device)
            facts = describe(defended)
            network = below(defence.value, model.value, defended)
            chosen = list(threats or _default_threats(defended, adapted is not None))
            if adapted is not None:
                run = [attack.value for attack in attacks]
                usual = threats is None
                seen = _seen(defended, network, chosen, data, run, settings, usual)
                if seen is not None:
                    label = f"{model.name} | {defence.name}"
                    seen = adapted[label] = _with_networks(seen, means(network, defended), label)
                    chosen = _expanded(chosen, seen)
            for threat in chosen:
                if isinstance(threat.value, Threat):
                    threat = replace(threat, value=threat.value.prepare(means(network, defended)))
                bound = bind(threat, defended, data, settings, network)
                state = state_of(bound.parts)
                for named in attacks:
                    attack = granted(named, goals.load(goal), bound, data.shape)
                    cell = Cell(
                        model,
                        defence,
                        defended,
                        data,
                        threat,
                        bound,
                        attack,
                        goals.load(goal),
                        settings,
                        _cache={"network": facts, "state": state},
                    )
                    cell.identity()
                    cells.append(cell)
    return cells


def _with_networks(seen: Adaptation, means: Means, label: str) -> Adaptation:
    """What was seen, its ways with the networks that they train before the attack.

    A way whose network cannot be trained is left out, in a line: nobody has named it, and the others can run. That images
    were sent and no more may be is passed on.
    """
    ways = []
    for way in seen.ways:
        try:
            with exits_are_errors():
                ways.append(way.prepare(means))
        except QueriesSpent:
            raise
        except Exception as error:
            said = next(iter(plain(str(error)).splitlines()), type(error).__name__)
            log.warning("%s: %s is left out: %s", label, way.name, said)
    return replace(seen, ways=tuple(ways))


def bind(
    threat: Named[Any], defended: nn.Module, data: Dataset, settings: Settings, network: nn.Module | None
) -> BoundThreat:
    """The threat on this model, with the pixel levels of the data and the query budget of the study.

    Args:
        threat: The threat; one of vauban's is told of the network.
        defended: The model behind its defence.
        data: The data set.
        settings: Of the study.
        network: What stands below the defences; None where they are part of it.
    """
    levels = data.levels if settings.levels == "data" else settings.levels
    bound = told(threat.value, network).bind(defended, levels=levels, budget=settings.budget)
    if not isinstance(bound, BoundThreat):
        raise ContractError(
            f"expected the threat {threat.name!r} to give a vauban.engine.BoundThreat from bind(module, levels=, budget=), "
            f"got {type(bound).__name__}"
        )
    for network, _ in bound.sources:
        network.to(settings.device)
    bound = replace(bound, precision=settings.precision)
    return replace(bound, compiled=settings.compiled and _compiled(bound, data, settings.device))


def _compiled(bound: BoundThreat, data: Dataset, device: str) -> bool:
    """Whether the networks of a threat can be compiled; said in a line where not."""
    cause = "backward rules are hooks" if bound.backward else "its random numbers would be others"
    if "gradients" not in revealed(bound.target):
        cause = "it only answers"
    elif not (bound.backward or bound.noisy):
        cause = ""
    if cause:
        log.warning("%s under %s is not compiled: %s", type(bound.target).__name__, bound.name, cause)
        return False
    x = images_of(data, device).x[:3]
    return all(compiles(network, x) for network in dict.fromkeys((bound.target, *dict(bound.networks))))


def _seen(
    defended: nn.Module,
    network: nn.Module | None,
    threats: Sequence[Named[Any]],
    data: Dataset,
    attacks: Sequence[Attack],
    settings: Settings,
    usual: bool,
) -> Adaptation | None:
    """What a look at a network gives; None where nobody asks for one: the gradients are not used, or a card is trusted.

    Args:
        usual: Whether the threats are the default ones, so that auto joins those of a card whose gradient is not sound.
    """
    seek = any(isinstance(threat.value, Auto) for threat in threats)
    adaptive = next((threat for threat in threats if usual and isinstance(threat.value, Adaptive)), None)
    if not (seek or adaptive or _direct(defended, threats)):
        return None
    card = None if adaptive is None else bind(adaptive, defended, data, settings, network)
    batch, budgets = images_of(data, settings.device), dict(data.budgets)
    seek = seek or adaptive is not None
    return looked_at(defended, batch, attacks, budgets, network, settings.seed, seek, card)


def _direct(defended: nn.Module, threats: Sequence[Named[Any]]) -> bool:
    """Whether gradients of a network without a card are to be believed as they are."""
    return any(isinstance(threat.value, WhiteBox) for threat in threats) and not _has_card(defended)


def _has_card(defended: nn.Module) -> bool:
    return any(True for _ in carded(defended))


def _expanded(threats: Sequence[Named[Any]], seen: Adaptation) -> list[Named[Any]]:
    """Threats with the ways in the place of auto; without any it is white-box, once."""
    ways = [Named(way.name, way) for way in seen.ways]
    plain = any(isinstance(threat.value, WhiteBox) for threat in threats)
    chosen: list[Named[Any]] = []
    for threat in threats:
        if not isinstance(threat.value, Auto):
            chosen.append(threat)
        elif ways or not plain:
            chosen += ways or [threat]
    if not any(isinstance(threat.value, Auto) for threat in threats):  # beside a card's rules
        chosen += ways
    return chosen


def _default_threats(defended: nn.Module, looks: bool) -> list[Named[Any]]:
    from vauban import threats

    if "gradients" not in revealed(defended):
        plain = by_answers(defended)
        return [Named(plain.name, plain)]
    if keys_of(defended):
        return [Named("keyed", threats.keyed()), Named("leaked-key", threats.leaked_key())]
    chosen: list[Named[Any]] = [Named("white-box", threats.white_box())]
    if any(card.backward or card.draws > 1 for _, card in carded(defended)):
        chosen.append(Named("adaptive", threats.adaptive()))
    if looks and not _has_card(defended):
        chosen.append(Named("auto", threats.auto()))
    return chosen


def each_once(cells: Sequence[Cell]) -> list[Cell]:
    """Cells of one identity have the same rows: the first of them stays."""
    kept: dict[str, Cell] = {}
    for cell in cells:
        first = kept.setdefault(cell.hash, cell)
        if first is not cell:
            log.warning("%s: the same as %s, which stands for both", cell.label, first.label)
    return list(kept.values())


def check_fit(cells: Sequence[Cell]) -> None:
    """Ask each network for its first images, before anything is spent or written; a service is not asked.

    Raises:
        ContractError: One does not take it, labels of the data are none of its classes, or the goal is none; where there
            are several networks, model and defence are named.
    """
    asked = {id(cell.defended): cell for cell in cells if not drifts(cell.defended)}
    for cell in asked.values():
        try:
            first = (
                cell.probe if len(cell.probe) else answers(cell.defended, cell.data.take(1).to(cell.settings.device).x)
            )
            columns = first.shape[1]
            check_answerable(cell.data.y, len(cell.data), columns, cell.threat.rejects)
            if isinstance(cell.goal, Targeted):
                cell.goal.check_class(columns - cell.threat.rejects)
        except ContractError as error:
            if len(asked) == 1:
                raise
            raise ContractError(f"{cell.model.name} | {cell.defence.name}: {error}") from error
        except Exception as error:  # a package or memory that lacks ends its own cells, when their turn comes
            log.debug("%s | %s: %s", cell.model.name, cell.defence.name, error)


def tell_lacking(missing: Mapping[str, MissingExtra], cells: Sequence[Cell]) -> None:
    """Name, before anything runs, what fails because a package is not installed: words, and cells."""
    for word, error in missing.items():
        log.error("%s: %s (its cells fail, the others run)", word, error)
    for cell in cells:
        if cell.lacking is not None:
            log.error("%s: %s (this cell fails, the others run)", cell.label, cell.lacking)


def named_in(cells: Sequence[Cell]) -> dict[str, Any]:
    """The names of what a study combines, each once, and its goal."""
    return {
        "models": list(dict.fromkeys(cell.model.name for cell in cells)),
        "defences": list(dict.fromkeys(cell.defence.name for cell in cells)),
        "threats": list(dict.fromkeys(cell.threat_name for cell in cells)),
        "attacks": list(dict.fromkeys(cell.attack.name for cell in cells)),
        "goal": str(cells[0].goal),
    }
