"""Data sets of the Hugging Face library `datasets`: folders of Parquet, Arrow or images, and names of the hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vauban.core.errors import ContractError, MissingExtra, short
from vauban.core.parameters import Count
from vauban.data import registry
from vauban.data.dataset import Dataset
from vauban.data.encoded import Encoded, Framing
from vauban.data.location import DataLocation, MissingData
from vauban.store.pictures import opened

GREY = ("1", "L", "LA")  # modes of pictures without colour, as PIL calls them
SAVED = ("dataset_dict.json", "state.json")  # what save_to_disk leaves in the folder of several splits, of one


@registry.register("hf", levels=256, extra="datasets")
def hf(
    split: str | None,
    place: DataLocation,
    path: str,
    image: str | None = None,
    label: str | None = None,
    config: str | None = None,
    size: Count | None = None,
    crop: Count | None = None,
    grey: bool | None = None,
) -> Dataset:
    """A Hugging Face data set: a folder of Parquet, Arrow or image files, or a name of the hub: `hf:path=mnist,split=test`.

    Images are the encoded bytes as they are stored, decoded when a batch asks for them; what they follow from is content,
    never a path, so a data set counts the same from the hub, from Parquet and from `save_to_disk`.

    Args:
        split: A split of the data set; None for `test`.
        place: Whether the hub may be asked (`download`).
        path: A folder, or where there is none, a data set of the hub.
        image: The column of images; None for the only one.
        label: The column of labels, ClassLabel or whole numbers from 0; None for the only ClassLabel, else `label`.
        config: Configuration of a data set that has several.
        size: Pixels that the shorter side is resized to.
        crop: Side of the square then cut from the centre.
        grey: Whether colours become grey; None for one channel where every image is stored without colour.

    Raises:
        MissingExtra: The package `datasets` is not installed.
        MissingData: There is no such folder, and nothing may be downloaded.
        ContractError: There is no such split or column, or labels are no classes.
    """
    samples = _opened(path, split or "test", config, place)
    at = _image_column(samples, image, path)
    labelled = _label_column(samples, label, path)
    y, names, named = _labels(samples, labelled, path)
    stored = _encoded(samples, at, path)

    def read(i: int) -> bytes:
        cell = stored[i][at]
        return b"" if cell is None else cell["bytes"] or Path(cell["path"]).read_bytes()

    def origin(i: int) -> str:
        return f"{at} {i} of {path}/{split or 'test'}"

    if grey is None:
        grey = all(opened(read(i), origin(i)).mode in GREY for i in range(len(samples)))
    return Dataset(
        Path(path).name,
        split or "test",
        Encoded(read, origin, Framing(size, crop, grey)),
        y,
        names,
        labels_from="none" if labelled is None else "true",
        all_classes=named,
    )


def _opened(path: str, split: str, config: str | None, place: DataLocation) -> Any:
    """The split of a folder or of a hub's data set, as the library holds it."""
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("datasets", "datasets", f"the data set hf:path={path}") from error
    if not path.strip():
        raise ContractError("hf: expected path= as a folder or a name of the hub, got an empty text")
    folder = Path(path).expanduser()
    if not folder.is_dir() and not place.download:
        raise MissingData(
            f"hf: expected path={path} to be a folder, it is none; a name of the Hugging Face hub needs --download "
            "(download=True)"
        )
    failures = OSError, ValueError, RuntimeError, TypeError, datasets.exceptions.DatasetsError
    try:
        with _quiet(datasets):
            if any((folder / name).is_file() for name in SAVED):
                return _of_saved(datasets.load_from_disk(str(folder)), split, path)
            return datasets.load_dataset(str(folder) if folder.is_dir() else path, config, split=split)
    except ContractError:
        raise
    except failures as error:
        reason = str(error.__cause__ or error).strip().split("\n")[0]
        raise ContractError(
            f"hf: path={path} cannot be read as a data set with the split {split!r}: {reason}"
        ) from error


def _of_saved(saved: Any, split: str, path: str) -> Any:
    """A split of what save_to_disk has written; a folder of one split is that one, whatever it was called."""
    if not isinstance(saved, dict):
        return saved
    if split not in saved:
        raise ContractError(f"hf: expected a split of {path} in {', '.join(saved)}, got {split!r}")
    return saved[split]


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Without the library's progress bars, which would run through our own."""
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def _known(samples: Any, column: str, kind: str, path: str) -> str:
    if column not in samples.column_names:
        raise ContractError(
            f"hf: expected a column of {path} among {', '.join(samples.column_names)}, got {kind}={column}"
        )
    return column


def _image_column(samples: Any, given: str | None, path: str) -> str:
    """Name of the column of images. Raises ContractError where none, or more than one, may be meant."""
    if given is not None:
        return _known(samples, given, "image", path)
    meant = [name for name, feature in samples.features.items() if type(feature).__name__ == "Image"]
    if len(meant) != 1 and "image" in samples.column_names:
        meant = ["image"]
    if len(meant) != 1:
        raise ContractError(
            f"hf: expected one column of images in {path}, got {len(meant)} of {', '.join(samples.column_names)}; "
            "name it with image=..."
        )
    return str(meant[0])


def _label_column(samples: Any, given: str | None, path: str) -> str | None:
    """Name of the column of labels; None where the data set has none. Raises ContractError where several may be meant."""
    if given is not None:
        return _known(samples, given, "label", path)
    meant = [name for name, feature in samples.features.items() if type(feature).__name__ == "ClassLabel"]
    if "label" in samples.column_names:
        return "label"
    if len(meant) > 1:
        raise ContractError(
            f"hf: expected one column of labels in {path}, got {', '.join(meant)}; name it with label=..."
        )
    return str(meant[0]) if meant else None


def _labels(samples: Any, column: str | None, path: str) -> tuple[Tensor, tuple[str, ...], bool]:
    """Labels int64 `(n,)`, class names, and whether the data set itself says how many classes there are."""
    if column is None:
        return torch.full((len(samples),), -1), (), False
    values = samples.with_format(None)[column][:]
    names = getattr(samples.features[column], "names", None)
    if not all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values):
        odd = next(v for v in values if not isinstance(v, int) or isinstance(v, bool) or v < 0)
        raise ContractError(
            f"hf: expected ClassLabel or whole numbers from 0 in the column {column} of {path}, got {short(odd)}; "
            f"cast texts with class_encode_column({column!r}), or leave an unlabelled split to --labels own"
        )
    if names is None:
        return torch.tensor(values), tuple(map(str, range(max(values, default=-1) + 1))), False
    return torch.tensor(values), tuple(names), True


def _encoded(samples: Any, column: str, path: str) -> Any:
    """The samples with the images as stored bytes. Raises ContractError where the column holds something else."""
    from datasets import Image

    try:
        cast = samples.select_columns([column]).with_format(None).cast_column(column, Image(decode=False))
        first = cast[0][column] if len(cast) else {}
    except (TypeError, ValueError, KeyError, NotImplementedError) as error:
        raise ContractError(
            f"hf: expected encoded images in the column {column} of {path}, got {samples.features[column]}"
        ) from error
    if not len(cast) or not isinstance(first, dict):
        raise ContractError(f"hf: expected at least one sample in {path}, with an image in the column {column}")
    return cast
