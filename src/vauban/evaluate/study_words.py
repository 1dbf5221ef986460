"""The words of a study as lists: each by its name, and models with the defences that stand in front of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from vauban.core.errors import ContractError, MissingExtra, short
from vauban.core.text import behind
from vauban.data import Dataset
from vauban.metrics.sample import COLUMNS
from vauban.words.defence import TRAINED, defence_of
from vauban.words.metric import metric_of
from vauban.words.model import model_of, put_back, tell_behind
from vauban.words.named import Named


@dataclass
class Reader:
    """Words of a study read one by one; one whose package is not installed is left out and noted.

    Attributes:
        missing: The words that were left out, each with the reason.
    """

    missing: dict[str, MissingExtra] = field(default_factory=dict)

    def read(self, word: Any, of: Callable[[Any], Named[Any]]) -> list[Named[Any]]:
        """The thing that a word names, as a list of one; of none where its package is not installed."""
        try:
            return [of(word)]
        except MissingExtra as error:
            self.missing[str(word)] = error
            return []


def named(words: Any, of: Callable[[Any], Named[Any]], reader: Reader) -> list[Named[Any]]:
    """Each word by its own name, or by the key of a mapping."""
    if isinstance(words, Mapping):
        return [replace(thing, name=str(name)) for name, word in words.items() for thing in reader.read(word, of)]
    return [thing for word in _listed(words) for thing in reader.read(word, of)]


def _listed(words: Any) -> Sequence[Any]:
    return words if isinstance(words, (list, tuple)) else [words]


def further_metrics(words: Sequence[str], data: Dataset) -> tuple[str, ...]:
    """The names of the metrics beside those that every row has, each tried on one image of the data.

    Raises:
        UnknownName: There is no such metric.
        ContractError: It gives no value on an image of this kind, or not one per image.
    """
    entries = {entry.name: entry for entry in map(metric_of, words) if entry.name not in COLUMNS}
    x = data.batch(torch.tensor([0])).x
    for name, entry in entries.items():
        value = entry.make(x, x)
        if not isinstance(value, torch.Tensor) or value.shape != (1,):
            got = tuple(value.shape) if isinstance(value, torch.Tensor) else short(value)
            raise ContractError(
                f"expected the metric {name!r} to give one value per image, (1,) for one image, got {got}"
            )
    return tuple(entries)


def with_defences(
    words: Any, defences: list[Named[Any]], reader: Reader
) -> list[tuple[Named[nn.Module], list[Named[Any]]]]:
    """Each model with the defences it stands behind: those of the study, or the one of its own word `DEFENCE|MODEL`.

    Raises:
        ContractError: A model's own word and the study both name defences.
    """
    models, fronts, loaded = [], [], dict[str, Named[nn.Module]]()
    pairs = words.items() if isinstance(words, Mapping) else [own_name(word) for word in _listed(words)]
    for name, word in pairs:
        own, text = behind(word) if isinstance(word, str) else (None, word)
        if own is not None and [defence.name for defence in defences] != ["none"]:
            raise ContractError(f"expected the defence in {word!r} or beside the model, got both; leave one out")
        known = loaded.get(text) if isinstance(text, str) else None
        front = defences if own is None else reader.read(own, defence_of)
        for model in [known] if known is not None else reader.read(text, model_of):
            if isinstance(text, str):
                loaded[text] = model
            models.append(model if name is None else replace(model, name=str(name)))
            fronts.append(_put_back(model, front))
    return list(zip(_apart(models), fronts, strict=True))


def _put_back(model: Named[Any], front: list[Named[Any]]) -> list[Named[Any]]:
    """The defences of a model, the one that it was trained behind in the place of `trained`; one warning without it."""
    put = [put_back(model) if defence.name == TRAINED else defence for defence in front]
    if all(defence.name != model.behind for defence in put):
        tell_behind(model.name, model.behind)
    return put


def own_name(word: Any) -> tuple[str | None, Any]:
    """The name and the text of `name=text`; None and the word itself where it gives no name."""
    given = re.match(r"([\w.-]+)=(?=.)", word) if isinstance(word, str) else None
    return (None, word) if given is None else (given[1], word[given.end() :])


def _apart(models: list[Named[Any]]) -> list[Named[Any]]:
    """Different models of one name, numbered."""
    numbers: dict[str, dict[int, int]] = {}
    for model in models:
        same = numbers.setdefault(model.name, {})
        same.setdefault(id(model.value), len(same) + 1)
    return [
        replace(m, name=f"{m.name} #{numbers[m.name][id(m.value)]}") if len(numbers[m.name]) > 1 else m for m in models
    ]


def as_words(**given: Any) -> dict[str, Any] | None:
    """The arguments of a study as JSON; None where one of them is an object."""
    try:
        text = json.dumps(given)
    except TypeError:
        return None
    words: dict[str, Any] = json.loads(text)
    return words
