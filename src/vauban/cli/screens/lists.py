"""Lists of what the registries hold, and a line of training progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vauban.cli.screens.layout import console
from vauban.core.errors import UnknownName

if TYPE_CHECKING:
    from vauban.training.history import Epoch


def registry_entries(kind: str) -> list[dict[str, Any]]:
    """Entries of a registry as plain data.

    Args:
        kind: `attacks`, `defences`, `models`, `datasets`, `threats`, `metrics`, `losses` or `experiments`.

    Returns:
        Name, summary and facts of each entry, in the order of the names.

    Raises:
        UnknownName: There is no such registry.
    """
    from vauban import attacks, data, defences, metrics, models, threats
    from vauban import reproduce as experiments
    from vauban.core.losses import LOSSES
    from vauban.training import registry as recipes

    if kind == "losses":
        return [{"name": n, "summary": (f.__doc__ or "").split("\n")[0]} for n, f in LOSSES.items()]
    registries: dict[str, Any] = {
        "attacks": attacks.registry,
        "defences": defences.registry,
        "models": models.registry,
        "datasets": data.registry,
        "threats": threats.registry,
        "metrics": metrics.registry,
        "experiments": experiments.registry,
        "recipes": recipes,
    }
    if kind not in registries:
        raise UnknownName("list", kind, [*registries, "losses"])
    return [{"name": e.name, "summary": e.summary, **e.facts} for e in registries[kind]]


def show_epoch(epoch: Epoch) -> None:
    """A line of training progress."""
    shares = {"accuracy": epoch.accuracy, "validation": epoch.validation}
    shown = "".join(f", {name} {share:.4f}" for name, share in shares.items() if share is not None)
    console.print(f"epoch {epoch.number}: loss {epoch.loss:.4f}{shown} ({epoch.seconds:.0f} s)")
