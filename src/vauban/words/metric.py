"""Metrics by name, or by `file.py:name`."""

from __future__ import annotations

import functools
import inspect
from dataclasses import replace
from typing import Any

from vauban import metrics
from vauban.core.annotations import declared
from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError, UnknownName
from vauban.core.parameters import check
from vauban.core.registry import Entry
from vauban.core.text import parse
from vauban.metrics.base import Metric
from vauban.words.files import from_file


def metric_of(word: str) -> Entry[Any]:
    """The registered metric of that name, or of a user's `file.py:name`, which registers it under the column's name.

    Raises:
        UnknownName: No metric of that name.
        ContractError: A user's function is not registered, so that its unit and direction are not known.
    """
    spec = parse(word)
    if spec.params:
        raise ContractError(
            f"expected a metric without parameters, got {word!r}; register a function of your own that sets them"
        )
    if spec.file is None:
        return metrics.registry.get(word)
    metric = from_file(spec)
    for entry in metrics.registry.registered():
        if entry.make is metric:
            return entry
    raise ContractError(
        f"expected {word!r} to be registered, so that tables know its unit and direction; write above it: "
        f'@vauban.metrics.registry.register("{spec.name}", unit="1", direction="lower", aggregate="mean", reads="pair")'
    )


@named_arguments
def load(word: str | Metric, **params: Any) -> Metric:
    """The metric of that name; parameters, in the text or as objects, are those of the function.

    Raises:
        UnknownName: No metric, or no parameter, of that name.
        ContractError: A user's object is no function, or a value is refused.
    """
    if not isinstance(word, str):
        return word
    spec = parse(word)
    metric: Metric = metrics.registry.get(spec.name).make if spec.file is None else from_file(replace(spec, params={}))
    if not callable(metric):
        raise ContractError(f"expected the metric {word!r} as a function of an original and an image, got {metric!r}")
    given = {**spec.params, **params}
    if not given:
        return metric
    known = list(inspect.signature(metric).parameters)[2:]  # behind the original and the image
    for key in given:
        if key not in known:
            raise UnknownName(f"parameter of the metric {word!r}:", key, known)
    for key, value in given.items():
        check(spec.name, key, value, declared(metric).get(key, Any))
    return functools.partial(metric, **given)
