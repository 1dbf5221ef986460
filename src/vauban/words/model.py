"""Models by name: `digits-cnn`, `mnist-c4:weights=w.safetensors`, `w.safetensors`, `file.py:name`, `jpeg|digits-cnn`."""

from __future__ import annotations

import inspect
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vauban.core.arguments import named_arguments
from vauban.core.cards import bare, rejecting
from vauban.core.errors import ContractError
from vauban.core.text import behind, parse, split
from vauban.defences.base import Defence
from vauban.models import registry
from vauban.models import weights as files
from vauban.models.architecture import Architecture, of_weights
from vauban.models.wrap import wrap
from vauban.training.recipe import RecipePart
from vauban.words import defence as defences
from vauban.words.files import files_in, from_file, weights_in, weights_named
from vauban.words.named import Named, instance, resolved
from vauban.words.recipe import recipe_of

log = logging.getLogger("vauban")


@named_arguments
def load(word: Any, weights: str | Path | None = None, rejects: bool = False) -> nn.Module:
    """A model ready to be attacked, in evaluation mode.

    What is loaded here has its convolutions laid out channels last, which costs a CPU a tenth to a third less time; a
    module that is handed over keeps its layout.

    Args:
        word: A registered name with parameters, a weights file written by `vauban train` (it names its architecture), a
            user's `file.py:name` (a module, a class or a function that returns one), any of them behind a defence
            (`DEFENCE|MODEL`), or a module.
        weights: A safetensors file or a `.pt` file of plain tensors.
        rejects: The last logit of the model means 'rejected', for one without a card that says so.

    Raises:
        UnknownName: A name or a parameter is not known.
        ContractError: A file does not fit, or what is named is no module.
    """
    if not isinstance(word, (str, Path)):
        module: nn.Module = model_of(word, rejects).value
        if weights is None:
            return module.eval()
        path = Path(weights).expanduser()
        for part in edits_of(path):
            module = part.edit(module)
        tell_behind(str(path), stands_behind(path))
        return files.load_into(module, path).eval()
    named = _placed(str(word), weights, rejects)
    tell_behind(str(word), named.behind)
    value: nn.Module = named.value
    return value


def with_weights(text: str, weights: Path) -> str:
    """The text of an architecture, registered or of a user's file, with a weights file among its parameters."""
    spec = parse(text)
    return str(replace(spec, params={**spec.params, "weights": str(weights)}))


def tell_behind(name: str, defence: str) -> None:
    """Say that a network is used without the defence that it was trained behind; nothing where there is none."""
    if defence != "none":
        log.warning(
            "%s was trained behind %s, which is not in front of it; put it back with --defence trained or 'trained|...'",
            name,
            defence,
        )


def edits_of(weights: Path) -> tuple[RecipePart, ...]:
    """The edits that the network of a weights file was trained with."""
    text = files.metadata(weights).get("edits", "")
    return recipe_of(text).parts if text else ()


def stands_behind(weights: Path) -> str:
    """The defence that the network of a weights file was trained behind, as a text; "none" for none."""
    run = files.metadata(weights).get("run")
    return str(run.get("defence", "none")) if isinstance(run, dict) else "none"


def fitted_before(weights: Path) -> dict[str, str]:
    """Files of that defence, as it names them, each with its SHA-256 at the training; "" where that is not known."""
    told = files.metadata(weights).get("fitted", {})
    return {name: str(told.get(name, "")) for name in weights_named(stands_behind(weights))}


def put_back(model: Named[nn.Module]) -> Named[Any]:
    """The defence that a model was trained behind, made of the same files.

    Raises:
        ContractError: A file of it has gone, or has other content than at the training.
    """
    now = weights_in(model.behind)
    for name, digest in model.fitted.items():
        if not now[name]:
            raise ContractError(
                f"expected {name}, of the defence {model.behind} that {model.name} was trained behind, got no such file "
                "here; run where it is, or name the defence itself in the place of 'trained'"
            )
        if digest not in ("", now[name]):
            raise ContractError(
                f"expected {name} as it was when {model.name} was trained behind it, got other content; bring that file "
                "back or train again, or name the defence itself in the place of 'trained'"
            )
    return defences.defence_of(model.behind)


def trained_by(weights: Path) -> str:
    """The recipe that the network of a weights file was trained by, as a text; "" where the file names none."""
    run = files.metadata(weights).get("run")
    return str(run.get("recipe", "")) if isinstance(run, dict) else ""


def _placed(word: str, weights: str | Path | None = None, rejects: bool = False) -> Named[nn.Module]:
    """The model of a text, with the network below its defence; None where the defence is part of it."""
    in_front, text = behind(word)
    made, path = _bare(text, weights)
    model = _marked(made.eval().to(memory_format=torch.channels_last), rejects)
    trained = "none" if path is None else stands_behind(path)
    recipe = "" if path is None else trained_by(path)
    fitted = {} if path is None else fitted_before(path)
    alone = Named(without_folders(text), model, files_in(word), bare(model), trained, recipe, fitted)
    if in_front is None:
        return alone
    defence = put_back(alone).value if in_front == defences.TRAINED else defences.load(in_front)
    defended = defence.wrap(model)
    missing = "none" if in_front in (trained, defences.TRAINED) else trained
    return replace(
        alone, name=without_folders(word), value=defended, network=below(defence, model, defended), behind=missing
    )


def below(defence: Defence, model: nn.Module, defended: nn.Module) -> nn.Module | None:
    """The network below a defence, which is what it was put before; None where it has become part of the network."""
    return None if defended is model and defence.name != "none" else bare(model)


def architecture(text: str) -> Architecture:
    """The architecture of a registered name with parameters, or of a user's `file.py:name`."""
    spec = parse(spelled_out(text))
    if spec.file is None:
        if registry.get(spec.name).facts.get("queries"):
            raise ContractError(f"expected a network that can be trained, got {text!r}, which only answers")
        if words := registry.get(spec.name).words:
            raise ContractError(f"expected the network itself, got {text!r}; name what is in {next(iter(words))}=[...]")
        return Architecture(spec.name, spec.params)
    return Architecture(f"{spec.file}:{spec.name}", spec.params, from_file(replace(spec, params={})))


@named_arguments
def build(text: str, seed: int = 0, **params: Any) -> nn.Module:
    """An untrained model of a registered architecture (or `file.py:name`), initialised from `seed`."""
    named = architecture(text)
    return replace(named, params={**named.params, **params}).build(seed)


def model_of(word: Any, rejects: bool = False) -> Named[nn.Module]:
    """A model by name, `file.py:name`, a weights file, or a module; a model behind a defence is the defended module.

    rejects: as of `load`.
    """
    if isinstance(word, Named):
        return replace(word, value=_marked(word.value, rejects))
    if isinstance(word, (str, Path)):
        return _placed(str(word), rejects=rejects)
    if inspect.isfunction(word) or inspect.ismethod(word):
        raise ContractError(
            f"expected a model as an nn.Module or its name, got the function {word.__name__}; put it into a small module, "
            "or vb.models.black_box(fn) attacks it by its answers alone"
        )
    module = instance(word, "a model as an nn.Module or its name", nn.Module)
    network = bare(module)
    return Named(
        type(module).__name__.lower(), _marked(module, rejects), network=None if network is module else network
    )


def _marked(model: nn.Module, rejects: bool) -> nn.Module:
    """The model, with a card that says that its last logit means 'rejected' where that is so and no card says it."""
    return wrap(model, rejects=True).eval() if rejects and not rejecting(model) else model


def spelled_out(text: str) -> str:
    """A model's text with the name of the parameter that stood alone: `timm:resnet18` is `timm:name=resnet18`.

    An address is one as a whole, `=` in it included: `http://host/a?b=c` is `http:url=http://host/a?b=c`.
    """
    if text.startswith(("http://", "https://")):
        return f"http:url={text}"
    head, colon, rest = text.partition(":")
    first = split(rest, ",")[0] if colon else ""
    if not first.strip() or "=" in first.partition("[")[0] or head.strip() not in registry.names():
        return text
    positional = registry.get(head.strip()).facts.get("positional")
    return text if positional is None else f"{head}:{positional}={rest}"


def without_folders(word: str) -> str:
    """A text with the files that it names by their base names, as tables show it, and `folder=` by its last part."""
    if word.startswith(("http://", "https://")):
        return word
    word = re.sub(r"(?<=[:,]folder=)[^\s|+,\[\]:=]*/(?=[^/|+,\[\]:=]+(?:$|[\s|+,\[\]]))", "", word)
    return re.sub(r"[^\s|+,\[\]:=]*/([^/|+,\[\]:=]+\.(?:py|safetensors|pth?|onnx))(?=$|[\s|+,\[\]:])", r"\1", word)


def only_answers(text: str) -> bool:
    """Whether a text names a registered network that only answers, without making it."""
    head = spelled_out(behind(text)[1]).partition(":")[0].strip()
    return head in registry.names() and bool(registry.get(head).facts.get("queries"))


def _bare(text: str, weights: str | Path | None) -> tuple[nn.Module, Path | None]:
    """The network of a text without defences, and the weights file that it has been given."""
    spec = parse(spelled_out(text))
    given = {key: value for key, value in spec.params.items() if key == "weights"}
    spec = replace(spec, params={key: value for key, value in spec.params.items() if key not in given})
    weights = given.get("weights") if weights is None else weights
    path = None if weights is None else Path(str(weights)).expanduser()
    if spec.file is None and Path(spec.name).suffix in files.SUFFIXES:
        if path is not None:
            raise ContractError(f"expected one weights file, got {text} and {path}")
        file = Path(text).expanduser()
        return replace(of_weights(file), edits=edits_of(file)).filled(file), file
    edits = () if path is None else edits_of(path)
    if spec.file is None:
        words = registry.get(spec.name).words
        if words and path is not None:
            raise ContractError(f"expected the weights in the brackets of {text!r}, where the network is named")
        return Architecture(spec.name, resolved(spec.params, words), edits=edits).filled(path), path
    named = from_file(replace(spec, params={}))
    return Architecture(text, spec.params, named, edits).filled(path), path
