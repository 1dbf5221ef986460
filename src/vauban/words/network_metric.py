"""Metrics of a network by name: `local-lipschitz:radius=0.1`, `training-set-distance:data=mnist/train`, `file.py:name`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vauban import metrics
from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError
from vauban.core.text import parse
from vauban.metrics.of_network.base import NetworkMetric
from vauban.words import data
from vauban.words.files import files_in, made
from vauban.words.named import Named, instance, resolved


@named_arguments
def load(word: str | NetworkMetric, **params: Any) -> NetworkMetric:
    """The metric of a network that a text names, or one, checked.

    Raises:
        UnknownName: A name or a parameter is not known.
        ContractError: A value is refused, or an object is no such metric.
    """
    return network_metric_of(word, **params).value


def network_metric_of(
    word: Any, root: str | Path | None = None, download: bool = False, **params: Any
) -> Named[NetworkMetric]:
    """A metric of a network as `load` takes it, with its name.

    Args:
        word: The metric or its name.
        root: Folder of the data sets that it reads.
        download: Whether torchvision may fetch those that are missing.
        params: Its parameters, beside those of the name.
    """
    if not isinstance(word, str):
        held = instance(word, "a metric of a network or its name", NetworkMetric)
        return Named(type(held).__name__.lower(), held)
    spec = parse(word)
    given = {**spec.params, **params}
    if spec.file is not None:
        value = made(spec, lambda _: given)
    else:
        entry = metrics.network_registry.get(spec.name)
        read = {
            key: data.load(text, root=root, download=download)
            for key, text in given.items()
            if entry.words.get(key) == "data" and isinstance(text, str)
        }
        value = entry.build("network metric", resolved({**given, **read}, entry.words))
    if not isinstance(value, NetworkMetric):
        raise ContractError(f"expected {word!r} to be a vauban.metrics.NetworkMetric, got {type(value).__name__}")
    return Named(word, value, files_in(word))
