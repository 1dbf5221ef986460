"""Criteria of training by name: `cross-entropy`, `label-smoothing:share=0.9`, or `file.py:name`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vauban.core.arguments import named_arguments
from vauban.core.text import parse
from vauban.training.criteria import registry
from vauban.words import loss as losses


@named_arguments
@named_arguments
def load(word: str | Callable[..., Any]) -> Callable[..., Any]:
    """A criterion by name, a user's function of (logits, y) that returns a scalar, or an object.

    Raises:
        UnknownName: A name or a parameter is not known.
        ContractError: A value is refused.
    """
    if not isinstance(word, str):
        return word
    spec = parse(word)
    if spec.file is not None:
        return losses.load(word)
    made: Callable[..., Any] = registry.get(spec.name).build(registry.kind, spec.params)
    return made
