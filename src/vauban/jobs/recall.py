"""Recalling a job or an artefact from its words."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from vauban.core.contracts import Words


def recalled(call: str, arguments: Mapping[str, Any]) -> Any:
    """What `module:function` makes of JSON arguments; the same arguments are recalled once per process."""
    return _recalled(call, json.dumps(dict(arguments), sort_keys=True))


@lru_cache(maxsize=256)
def _recalled(call: str, arguments: str) -> Any:
    module, _, function = call.partition(":")
    return getattr(importlib.import_module(module), function)(**json.loads(arguments))


def words_of(call: str, arguments: Mapping[str, Any]) -> Words | None:
    """Arguments as the words that `recalled` reads; None where one of them is an object of this process."""
    try:
        return Words(call, json.loads(json.dumps(dict(arguments))))
    except TypeError:
        return None
