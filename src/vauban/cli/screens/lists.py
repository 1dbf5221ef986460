"""Lists of what the registries hold, and a line of training progress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vauban.cli.screens.layout import console

if TYPE_CHECKING:
    from vauban.training.history import Epoch


def registries() -> dict[str, Any]:
    """Every registry under the name of its list."""
    from vauban import attacks, certificates, data, defences, metrics, models, threats
    from vauban import reproduce as experiments
    from vauban.jobs.executors import registry as executors
    from vauban.threats.fitter import fitters as network_fitters
    from vauban.training import registry as recipes
    from vauban.training.criteria import registry as criteria
    from vauban.training.selections import registry as selections

    return {
        "attacks": attacks.registry,
        "fitters": attacks.fitters,
        "defences": defences.registry,
        "defence-fitters": defences.fitters,
        "models": models.registry,
        "datasets": data.registry,
        "threats": threats.registry,
        "network-fitters": network_fitters,
        "metrics": metrics.registry,
        "network-metrics": metrics.network_registry,
        "certificates": certificates.registry,
        "experiments": experiments.registry,
        "recipes": recipes,
        "criteria": criteria,
        "selections": selections,
        "executors": executors,
    }


def registry_entries(kind: str) -> list[dict[str, Any]] | None:
    """Entries of a registry as plain data.

    Args:
        kind: `attacks`, `fitters`, `defences`, `defence-fitters`, `models`, `datasets`, `threats`, `network-fitters`,
            `metrics`, `network-metrics`, `certificates`, `losses`, `recipes`, `criteria`, `selections`, `executors` or
            `experiments`.

    Returns:
        Name, summary, parameters and facts of each entry, in the order of the names; None where there is no such list.
    """
    from vauban.cli.screens.parameters import parameters_of
    from vauban.core.losses import LOSSES

    if kind == "losses":
        return [{"name": n, "summary": (f.__doc__ or "").split("\n")[0]} for n, f in LOSSES.items()]
    entries = registries().get(kind)
    if entries is None:
        return None
    return [{"name": e.name, "summary": e.summary, "parameters": parameters_of(e), **e.facts} for e in entries]


def show_epoch(epoch: Epoch) -> None:
    """A line of training progress."""
    console.print(f"{_reached(asdict(epoch))} ({epoch.seconds:.0f} s)")


def show_epochs(meta: Mapping[str, Any]) -> None:
    """The lines of all epochs, from a weights file, which tells no time."""
    for epoch in meta["epochs"]:
        console.print(_reached(epoch))


def _reached(epoch: Mapping[str, Any]) -> str:
    words = {"accuracy": "accuracy", "validation": "validation", "selection": "score"}
    shown = "".join(f", {word} {epoch[name]:.4f}" for word, name in words.items() if epoch[name] is not None)
    return f"epoch {epoch['number']}: loss {epoch['loss']:.4f}{shown}"


def show_selected(meta: Mapping[str, Any]) -> None:
    """The epoch that a selection has kept beside the last one, from a weights file; nothing without a selection."""
    if meta.get("selected") is None:
        return
    chosen, last = meta["epochs"][meta["selected"] - 1], meta["epochs"][-1]
    told = [f"validation {epoch['validation']:.4f}, selection {epoch['score']:.4f}" for epoch in (chosen, last)]
    console.print(f"kept epoch {chosen['number']}: {told[0]}")
    console.print(f"last epoch {last['number']}: {told[1]}")
