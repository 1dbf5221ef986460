"""Losses by name, or by `file.py:name`."""

from __future__ import annotations

import functools
import inspect
from dataclasses import replace
from typing import Any, cast

from vauban.core.arguments import named_arguments
from vauban.core.losses import Loss, loss_by_name
from vauban.core.text import Spec, parse
from vauban.core.users_call import call_users
from vauban.words.files import from_file


@named_arguments
def load(word: str | Loss) -> Loss:
    """A loss by name (`auto`, `ce`, `margin`, `dlr`), a user's function or class, or a loss."""
    if not isinstance(word, str):
        return word
    spec = parse(word)
    if spec.file is None:
        return loss_by_name(word)
    loss: Any = from_file(replace(spec, params={}))
    if inspect.isclass(loss):
        loss = call_users(spec.text, loss, spec.params)
    elif spec.params:
        loss = _with(loss, spec)
    return cast(Loss, loss)


def _with(loss: Any, spec: Spec) -> Any:
    """A loss with some of its parameters, where it has two more that lack; else what a function makes of them."""
    if inspect.isroutine(loss):
        parameters = inspect.signature(loss).parameters.values()
        lacking = [p.name for p in parameters if p.default is p.empty and p.name not in spec.params]
        if len(lacking) == 2 and set(spec.params) <= {p.name for p in parameters}:
            return functools.partial(loss, **spec.params)
    return call_users(spec.text, loss, spec.params)
