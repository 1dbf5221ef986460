"""Judge adversarial images that somebody else made."""

from __future__ import annotations

import io
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor, nn

from vauban.core.arrays import tensor_of, within_tolerance
from vauban.core.contracts import check_labels
from vauban.core.errors import ContractError
from vauban.core.goals import ResolvedGoal
from vauban.core.norms import Ball, norm_by_name
from vauban.core.pixel_grid import on_grid
from vauban.core.text import parse_value
from vauban.data import Dataset
from vauban.engine import BoundThreat, judge
from vauban.evaluate.batch import pictured, png
from vauban.evaluate.cell import answers
from vauban.evaluate.diagnostics.first_look import first_look, tell
from vauban.words import data as datasets
from vauban.words.model import model_of

KEYS = ("adversarial", "adv", "x_adv", "adv_complete", "images", "x", "arr_0")


@dataclass(frozen=True)
class Verification:
    """What the supplied images are worth. Rates are shares of all samples; a success counts only inside the budget.

    success_reloaded: the success that is left after each image was rounded to 8 bits, saved as PNG and read again (vectors
    are not saved). largest_distance: infinite where an image holds NaN.
    """

    samples: int
    in_range: float
    in_budget: float
    on_grid: float
    largest_distance: float
    clean_accuracy: float
    misclassified: float
    success: float
    success_reloaded: float
    robust_accuracy: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def parse_budget(text: str) -> Ball:
    """`linf:8/255` -> Linf(8/255)."""
    name, colon, radius = text.partition(":")
    value = parse_value(radius) if colon else None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ContractError(f"expected a budget like linf:8/255, got {text!r}")
    return norm_by_name(name)(float(value))


def verify(model: nn.Module | str, data: Any, adversarial: Any, budget: Ball | str) -> Verification:
    """Judge images `(n, ...)` in [0,1], in the order of the data, against the data's originals and labels.

    adversarial: a tensor, an array or a file (see `read_images`). Raises ContractError when count or shape do not match.
    """
    ball = parse_budget(budget) if isinstance(budget, str) else budget
    if not isinstance(ball, Ball):
        raise ContractError(
            f"expected a budget as a ball, such as Linf(8/255), or a text like linf:8/255, got {ball!r}"
        )
    model, data = model_of(model).value, datasets.load(data)
    file = isinstance(adversarial, (str, Path))
    x = read_images(Path(adversarial), data) if file else _tensor(tensor_of(adversarial, "images"), data)
    if len(x) != len(data) or tuple(x.shape[1:]) != tuple(data.shape):
        raise ContractError(
            f"expected {len(data)} images of shape {tuple(data.shape)} for this data, got {tuple(x.shape)}; "
            "slice the data like the images were made, e.g. mnist/test[:500]"
        )
    check_labels(data.y, len(data), answers(model, data.take(1).x).shape[1])
    threat, findings = first_look(BoundThreat(model, levels=None), data.take(8), "labels")
    tell(findings)
    parts = []
    for given, batch in zip(torch.split(x, 128), data.batches(128), strict=True):
        given = given.to(batch.x.dtype)
        finite = torch.isfinite(given).flatten(1).all(1)
        given = within_tolerance(torch.nan_to_num(given, nan=-1.0))
        goal = ResolvedGoal(batch.y)
        clean = judge(threat, batch.x, batch.x, goal)
        verdict = judge(threat, batch.x, given, goal, limit=ball)
        reloaded = _reload(given) if pictured(given.shape[1:]) else given
        again = judge(threat, batch.x, reloaded, goal, limit=ball)
        in_range = finite & ((given >= 0) & (given <= 1)).flatten(1).all(1)
        distance = ball.norm.size(given - batch.x).where(finite, torch.inf)
        quantised = finite & torch.tensor([on_grid(image, 256) for image in given])
        parts.append(
            torch.stack(
                [
                    in_range.double(),
                    (finite & ball.bind(batch.x).contains(given, batch.x)).double(),
                    quantised.double(),
                    distance.double(),
                    1 - clean.misclassified,
                    verdict.misclassified,
                    verdict.success.double(),
                    (verdict.success & again.success).double(),
                    1 - torch.maximum(clean.misclassified, verdict.success.double()),
                ]
            )
        )
    rows = torch.cat(parts, 1)
    mean = rows.mean(1).tolist()
    return Verification(len(x), mean[0], mean[1], mean[2], float(rows[3].max()), *mean[4:])


def _reload(x: Tensor) -> Tensor:
    pixels = [np.asarray(Image.open(io.BytesIO(png(image)))) for image in x]
    stacked = torch.from_numpy(np.stack(pixels)).to(x.dtype) / 255
    return stacked[:, None] if x.shape[1] == 1 else stacked.permute(0, 3, 1, 2).contiguous()


def read_images(path: Path, data: Dataset) -> Tensor:
    """Images from an `.npz` or `.npy` (float in [0,1], or uint8), a `.pt` tensor (never unpickled further), or a folder
    of PNG files named by sample id, `(n, channel, height, width)`; channel-last arrays are recognised by the data's shape.
    """
    if not path.exists():
        raise ContractError(f"expected a file or folder of adversarial images, got {str(path)!r}, which does not exist")
    try:
        if path.is_dir():
            return _from_folder(path, data)
        if path.suffix in (".npz", ".npy"):
            with path.open("rb") as file:
                loaded = np.load(file, allow_pickle=False)
                array = loaded if isinstance(loaded, np.ndarray) else loaded[_key(list(loaded.files), path)]
            return _tensor(torch.from_numpy(np.ascontiguousarray(array)), data)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(loaded, (Tensor, dict)):
            raise ContractError(f"{path}: expected a tensor or a dict of tensors, got {type(loaded).__name__}")
        return _tensor(loaded if isinstance(loaded, Tensor) else loaded[_key(list(map(str, loaded)), path)], data)
    except ContractError:
        raise
    except Exception as error:
        raise ContractError(
            f"{path}: expected images as npz, npy, pt or a folder of PNG, got {type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else ''}"
        ) from error


def _key(names: list[str], path: Path) -> str:
    for name in KEYS:
        if name in names:
            return name
    if len(names) == 1:
        return names[0]
    raise ContractError(f"{path}: expected one array, or one called {', '.join(KEYS)}; got {', '.join(names)}")


def _tensor(x: Tensor, data: Dataset) -> Tensor:
    shape = tuple(data.shape)
    if x.dtype == torch.uint8:
        x = x.float() / 255
    if not x.is_floating_point():
        raise ContractError(f"expected images as floats in [0,1] or uint8, got {x.dtype}")
    if x.dim() == 4 and len(shape) == 3 and tuple(x.shape[1:]) == (*shape[1:], shape[0]) != shape:
        x = x.permute(0, 3, 1, 2)
    if x.dim() == 3 and len(shape) == 3 and shape[0] == 1:
        x = x[:, None]
    return x.contiguous()


def _from_folder(path: Path, data: Dataset) -> Tensor:
    images = []
    for sample in data.rows.tolist():
        file = path / f"{sample}.png"
        if not file.is_file():
            raise ContractError(f"{path}: expected {file.name} (PNG files are named by sample id), found none")
        try:
            pixels = np.asarray(Image.open(file))
        except (UnidentifiedImageError, OSError) as error:
            raise ContractError(f"{file}: expected a PNG image, got {error}") from error
        images.append(torch.from_numpy(pixels.copy()))
    return _tensor(torch.stack(images), data)
