"""Networks and data of a study made again from its words, one by one, so that what fails is one thing and not all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from vauban.core.errors import VaubanError
from vauban.core.text import behind
from vauban.data import Dataset
from vauban.evaluate.study_words import Reader, named, own_name, with_defences
from vauban.jobs.identity import address, describe
from vauban.words import data as datasets
from vauban.words.defence import defence_of
from vauban.words.labels import with_base_names
from vauban.words.model import model_of, with_weights, without_folders
from vauban.words.named import Named
from vauban.words.named_files import with_places

T = TypeVar("T")


@dataclass(frozen=True)
class Unmade:
    """A network or a data set that cannot be made again here.

    Attributes:
        reason: Why, a sentence.
    """

    reason: str


@dataclass(frozen=True)
class Remade:
    """What a study was about, made again.

    Attributes:
        networks: The defended network, or why there is none, by the names of model and defence.
        models: The network of each model without the study's defences, by its name.
        data: The data, or why there are none.
        own: Whether the labels were the models' own answers.
        without: Why there is no network at all; "" where the words name some.
    """

    networks: dict[tuple[str, str], nn.Module | Unmade] = field(default_factory=dict)
    models: dict[str, Named[nn.Module]] = field(default_factory=dict)
    data: Dataset | Unmade = field(default_factory=lambda: Unmade("the study holds no words"))
    own: bool = False
    without: str = ""

    def network(self, facts: Mapping[str, Any]) -> nn.Module | Unmade:
        """The defended network of a cell, or why there is none; one that is not the recorded one is there."""
        key = str(facts.get("model")), str(facts.get("defence") or "none")
        return self.networks.get(key, Unmade(self.without or f"the last plan names no {key[0]} behind {key[1]}"))


def remade(
    study: Mapping[str, Any],
    places: Mapping[str, str],
    states: Mapping[str, Path],
    data: Dataset | None = None,
    root: str | Path | None = None,
) -> Remade:
    """Make networks and data of a study again.

    Args:
        study: What `study.json` holds.
        places: Files in the place of those that the words name.
        states: Weights files of models that are not made from a file, by the name of the model.
        data: The samples where they are at hand; None: the words say where they are.
        root: Folder of the data sets in place of the study's.
    """
    words = study.get("words")
    if words is None:
        held = "words" in study
        reason = (
            "the study held objects of a Python process" if held else "no words are recorded by the vauban that ran it"
        )
        return Remade(data=Unmade(reason) if data is None else data, without=reason)
    words = with_places(words, places)
    samples: Dataset | Unmade = data if data is not None else _attempt(lambda: _data(words, root))
    made = Remade(data=samples, own=words["labels"] == "own")
    for word in _pairs(words["models"]):
        for defence in _each(words["defences"]):
            _add(made, _with_state(word, states), defence, bool(words["rejects"]))
    return made


def network_address(network: nn.Module) -> str:
    """What `network` of a cell's facts is: the address of structure, weights and attributes."""
    return address(describe(network))


def _add(made: Remade, word: Any, defence: Any, rejects: bool) -> None:
    reader = Reader()
    pairs = _attempt(lambda: with_defences(word, named(defence, defence_of, reader), reader))
    missing = next(iter(reader.missing.values()), None)
    if isinstance(pairs, Unmade) or missing is not None:
        reason = pairs.reason if isinstance(pairs, Unmade) else str(missing)
        made.networks.setdefault(_labels(word, defence), Unmade(reason))
        return
    for plain, fronts in pairs:
        model = made.models.get(plain.name) or model_of(plain, rejects)
        made.models[plain.name] = model
        for front in fronts:
            made.networks[plain.name, front.name] = _attempt(partial(_wrapped, front, model))


def _with_state(word: Any, states: Mapping[str, Path]) -> Any:
    """A model with the weights file that is at hand for it, under its own name: it is neither trained nor fetched."""
    name, given = next(iter(word.items())) if isinstance(word, Mapping) else own_name(word[0])
    front, text = behind(given)
    name = name or without_folders(text)
    if name not in states:
        return word
    return {name: "|".join([*([front] if front else []), with_weights(text, states[name])])}


def _wrapped(front: Named[Any], model: Named[nn.Module]) -> nn.Module:
    defended: nn.Module = front.value.wrap(model.value)
    return defended.eval()


def _data(words: Mapping[str, Any], root: str | Path | None) -> Dataset:
    return datasets.load(words["data"], root=words["root"] if root is None else root, labels=words["labels"])


def _pairs(words: Any) -> list[Any]:
    """Each model by itself, in the form in which a study takes several."""
    return [{name: word} for name, word in words.items()] if isinstance(words, Mapping) else [[w] for w in _list(words)]


def _each(words: Any) -> list[Any]:
    return [{name: word} for name, word in words.items()] if isinstance(words, Mapping) else _list(words)


def _list(words: Any) -> list[Any]:
    return words if isinstance(words, list) else [words]


def _labels(word: Any, defence: Any) -> tuple[str, str]:
    """The names that a model and a defence have in tables, as far as their words tell them."""
    model = next(iter(word)) if isinstance(word, Mapping) else without_folders(str(word[0]))
    return model, next(iter(defence)) if isinstance(defence, Mapping) else with_base_names(str(defence))


def _attempt(make: Callable[[], T]) -> T | Unmade:
    """What is made, or why it cannot be: a user's file may raise anything."""
    try:
        return make()
    except VaubanError as error:
        return Unmade(str(error))
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else ""
        return Unmade(f"{type(error).__name__}: {first}")
