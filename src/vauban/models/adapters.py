"""Networks of other libraries by name: torchvision, timm, Hugging Face transformers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from vauban.core.errors import ContractError, MissingExtra, UnknownName
from vauban.models import registry
from vauban.models.layers import Classes
from vauban.models.wrap import Normalised

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@registry.register("torchvision", positional="name", weights="download", data="imagenet", crop=224)
def torchvision(name: str, classes: Classes = 1000, pretrained: bool = False) -> Normalised:
    """A torchvision classifier by its name, with ImageNet's mean and std inside: `torchvision:resnet18`.

    Args:
        name: Torchvision's name of the network.
        classes: Number of classes of a network without weights.
        pretrained: Whether to take torchvision's default weights, with their own mean and std; so it is where a network is
            loaded without a weights file.

    Raises:
        UnknownName: There is no such network.
        ContractError: The weights cannot be downloaded.
    """
    from torchvision import models

    if name not in models.list_models(module=models):
        raise UnknownName("torchvision model", name, models.list_models(module=models))
    if pretrained:
        weights = models.get_model_weights(name).DEFAULT
        transforms = weights.transforms()
        network = _download(name, lambda: models.get_model(name, weights=weights))
        return Normalised(network, transforms.mean, transforms.std)
    return Normalised(models.get_model(name, weights=None, num_classes=classes), *IMAGENET)


@registry.register("timm", positional="name", weights="download", data="imagenet", crop=224, extra="models")
def timm(name: str, classes: Classes | None = None, pretrained: bool = False) -> Normalised:
    """A timm classifier by its name, with the mean and std of its own configuration: `timm:resnet18`.

    Args:
        name: timm's name of the network.
        classes: Number of classes; None for the network's own.
        pretrained: Whether to take timm's weights; so it is where a network is loaded without a weights file.

    Raises:
        MissingExtra: timm is not installed.
        ContractError: timm cannot make the network.
    """
    try:
        import timm as library
    except ImportError as error:
        raise MissingExtra("timm", "models", f"the model timm:{name}") from error
    parameters = {} if classes is None else {"num_classes": classes}
    try:
        network = library.create_model(name, pretrained=pretrained, **parameters)
    except RuntimeError as error:
        raise ContractError(f"timm cannot make {name!r}: {str(error).splitlines()[0]}") from error
    config = network.pretrained_cfg
    return Normalised(network, config.get("mean", IMAGENET[0]), config.get("std", IMAGENET[1]))


@registry.register("hf", positional="path", weights="own", extra="hf")
def hf(path: str) -> Normalised:
    """A Hugging Face image classifier with safetensors weights, from a folder or the hub: `hf:microsoft/resnet-50`.

    Mean and std are those of its processor.

    Args:
        path: The folder of a saved classifier: config.json, model.safetensors and, where it normalises,
            preprocessor_config.json. Where there is no such folder, a repository `owner/name` of the hub.

    Raises:
        MissingExtra: transformers is not installed.
        ContractError: The folder holds no image classifier, or the repository cannot be downloaded.
    """
    folder = Path(path).expanduser()
    if not folder.exists() and re.fullmatch(r"[\w-]+/[\w.-]+", path):
        return _from_hub(path)
    if not (folder / "config.json").is_file():
        raise ContractError(
            f"expected the folder of a saved image classifier (config.json, model.safetensors), got {folder}"
        )
    try:
        from transformers import AutoModelForImageClassification
    except ImportError as error:
        raise MissingExtra("transformers", "hf", f"the model hf:{path}") from error
    try:
        network = AutoModelForImageClassification.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise ContractError(
            f"{folder} cannot be loaded as an image classifier: {str(error).splitlines()[0]}"
        ) from error
    mean, std = _processor(folder)
    return Normalised(network, mean, std)


def _from_hub(name: str) -> Normalised:
    """A classifier of the hub by its repository."""
    try:
        from transformers import AutoImageProcessor, AutoModelForImageClassification
    except ImportError as error:
        raise MissingExtra("transformers", "hf", f"the model hf:{name}") from error
    try:
        network = AutoModelForImageClassification.from_pretrained(name, use_safetensors=True)
        processor = AutoImageProcessor.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ContractError(
            f"{name} cannot be had from the Hugging Face hub: {str(error).splitlines()[0]}; download it and name its folder"
        ) from error
    if not getattr(processor, "do_normalize", True):
        return Normalised(network)
    return Normalised(network, getattr(processor, "image_mean", None), getattr(processor, "image_std", None))


def _processor(folder: Path) -> tuple[Any, Any]:
    """Mean and std of the saved processor, None and None where it does not normalise. Raises ContractError."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return None, None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ContractError(f"{path} is not readable: {error}") from error
    if not config.get("do_normalize", True):
        return None, None
    return config.get("image_mean"), config.get("image_std")


def _download(name: str, make: Callable[[], nn.Module]) -> nn.Module:
    """What `make` returns after downloading. Raises ContractError where it cannot."""
    try:
        return make()
    except (OSError, RuntimeError) as error:
        raise ContractError(f"the weights of {name} cannot be downloaded: {error}; pass weights=FILE") from error
