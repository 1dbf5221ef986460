"""Files of adversarial images that somebody else made: npz, npy, pt, or a folder of PNG."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.data import Dataset
from vauban.store.pictures import check_archive, opened

KEYS = ("adversarial", "adv", "x_adv", "adv_complete", "images", "x", "arr_0")
FAR = 2.0  # a value above it is no pixel of [0,1] that an attack has pushed too far


def read_images(path: Path, data: Dataset) -> Tensor:
    """Images from an `.npz` or `.npy` (float in [0,1], or uint8), a `.pt` tensor (never unpickled further), or a folder
    of PNG files named by sample id, `(n, channel, height, width)`; channel-last arrays are recognised by the data's shape.
    """
    if not path.exists():
        raise ContractError(f"expected a file or folder of adversarial images, got {str(path)!r}, which does not exist")
    try:
        if path.is_dir():
            return _from_folder(path, data)
        check_archive(path)
        if path.suffix in (".npz", ".npy"):
            with path.open("rb") as file:
                loaded = np.load(file, allow_pickle=False)
                array = loaded if isinstance(loaded, np.ndarray) else loaded[_key(list(loaded.files), path)]
            return images_of(torch.from_numpy(np.ascontiguousarray(array)), data)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(loaded, (Tensor, dict)):
            raise ContractError(f"{path}: expected a tensor or a dict of tensors, got {type(loaded).__name__}")
        return images_of(loaded if isinstance(loaded, Tensor) else loaded[_key(list(map(str, loaded)), path)], data)
    except ContractError:
        raise
    except pickle.UnpicklingError as error:  # PyTorch's own words advise to unpickle it
        raise ContractError(
            f"{path}: expected images as npz, npy, pt or a folder of PNG, got a file that holds no tensors alone"
        ) from error
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


def images_of(x: Tensor, data: Dataset) -> Tensor:
    """Images as floats, channels first. Raises ContractError for other types, and for values that go up to 255."""
    shape = tuple(data.shape)
    if x.dtype == torch.uint8:
        x = x.float() / 255
    if not x.is_floating_point():
        raise ContractError(f"expected images as floats in [0,1] or uint8, got {x.dtype}")
    if bool((x.isfinite() & (x > FAR)).any()):
        raise ContractError(
            f"expected images in [0, 1], got values up to {float(x[x.isfinite()].max()):.4g}; divide by 255"
        )
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
            pixels = np.asarray(opened(file.read_bytes(), str(file)))
        except OSError as error:
            raise ContractError(f"{file}: expected a PNG image, got {error}") from error
        images.append(torch.from_numpy(pixels.copy()))
    return images_of(torch.stack(images), data)
