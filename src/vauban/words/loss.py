"""Losses by name, or by `file.py:name`."""

from __future__ import annotations

import inspect
from typing import Any, cast

from vauban.core.losses import Loss, loss_by_name
from vauban.core.text import parse
from vauban.words.files import from_file


def load(word: str | Loss) -> Loss:
    """A loss by name (`auto`, `ce`, `margin`, `dlr`), a user's function or class (made without arguments), or a loss."""
    if not isinstance(word, str):
        return word
    spec = parse(word)
    if spec.file is None:
        return loss_by_name(word)
    loss: Any = from_file(spec)
    if inspect.isclass(loss):
        loss = loss()
    return cast(Loss, loss)
