"""Networks of other libraries by name: torchvision, timm, Hugging Face transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vauban.core.errors import ContractError, MissingExtra, UnknownName
from vauban.models.named import registry
from vauban.models.wrap import Normalised

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@registry.register("torchvision", weights="file", data="imagenet", crop=224)
def torchvision(name: str, classes: int = 1000, pretrained: bool = False) -> Normalised:
    """A torchvision classifier by its name, with ImageNet's mean and std inside; pretrained=true downloads its weights."""
    from torchvision import models

    if name not in models.list_models(module=models):
        raise UnknownName("torchvision model", name, models.list_models(module=models))
    if pretrained:
        chosen = models.get_model_weights(name).DEFAULT
        kept = chosen.transforms()
        return Normalised(_download(name, lambda: models.get_model(name, weights=chosen)), kept.mean, kept.std)
    return Normalised(models.get_model(name, weights=None, num_classes=classes), *IMAGENET)


@registry.register("timm", weights="file", data="imagenet", crop=224, extra="models")
def timm(name: str, classes: int | None = None, pretrained: bool = False) -> Normalised:
    """A timm classifier by its name, with the mean and std of its own configuration; pretrained=true downloads weights."""
    try:
        import timm as library
    except ImportError as error:
        raise MissingExtra("timm", "models", f"the model timm:name={name}") from error
    own = {} if classes is None else {"num_classes": classes}
    try:
        network = library.create_model(name, pretrained=pretrained, **own)
    except RuntimeError as error:
        raise ContractError(f"timm cannot make {name!r}: {str(error).splitlines()[0]}") from error
    config = network.pretrained_cfg
    return Normalised(network, config.get("mean", IMAGENET[0]), config.get("std", IMAGENET[1]))


@registry.register("hf", weights="own", extra="hf")
def hf(path: str) -> Normalised:
    """A Hugging Face image classifier from a local folder with safetensors weights; mean and std from its processor."""
    folder = Path(path).expanduser()
    if not (folder / "config.json").is_file():
        raise ContractError(
            f"expected the folder of a saved image classifier (config.json, model.safetensors), got {folder}"
        )
    try:
        from transformers import AutoModelForImageClassification
    except ImportError as error:
        raise MissingExtra("transformers", "hf", f"the model hf:path={path}") from error
    try:
        network = AutoModelForImageClassification.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise ContractError(
            f"{folder} cannot be loaded as an image classifier: {str(error).splitlines()[0]}"
        ) from error
    mean, std = _processor(folder)
    return Normalised(network, mean, std)


def _processor(folder: Path) -> tuple[Any, Any]:
    """image_mean and image_std of the saved processor; none where it does not normalise."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return None, None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ContractError(f"{path} is not readable: {error}") from error
    if not found.get("do_normalize", True):
        return None, None
    return found.get("image_mean"), found.get("image_std")


def _download(name: str, get: Any) -> Any:
    try:
        return get()
    except (OSError, RuntimeError) as error:
        raise ContractError(f"the weights of {name} cannot be downloaded: {error}; pass weights=FILE") from error
