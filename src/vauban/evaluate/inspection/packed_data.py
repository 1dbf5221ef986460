"""Samples of a data set in one file: what an inspection needs of them on another machine."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from vauban.core.errors import ContractError
from vauban.data import Dataset
from vauban.data.dataset import InMemory


def packed(data: Dataset) -> bytes:
    """The samples with labels, ids and facts as a safetensors file; 8-bit pixels as such."""
    from safetensors.torch import save

    batch = data.all()
    eight = (batch.x * 255).round()
    exact = data.levels is not None and bool(torch.equal(eight.to(torch.uint8).to(torch.float32).div(255), batch.x))
    tensors = {"x": eight.to(torch.uint8) if exact else batch.x, "y": data.y, "ids": data.rows}
    if data.targets is not None:
        tensors["targets"] = data.targets
    facts = {
        "name": data.name,
        "split": data.split,
        "class_names": list(data.class_names),
        "levels": data.levels,
        "budgets": dict(data.budgets),
        "labels_from": data.labels_from,
        "all_classes": data.all_classes,
    }
    content: bytes = save({key: value.contiguous() for key, value in tensors.items()}, {"data": json.dumps(facts)})
    return content


def unpacked(path: Path) -> Dataset:
    """The data set of such a file; its ids are those it had, and so is its fingerprint where the pixels were in memory.

    Raises:
        ContractError: It is no such file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
            facts = json.loads((file.metadata() or {})["data"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ContractError(f"{path}: expected packed samples, got {error}") from error
    facts["class_names"] = tuple(facts["class_names"])
    ids = tensors["ids"]
    whole = torch.zeros((int(ids.max()) + 1, *tensors["x"].shape[1:]), dtype=tensors["x"].dtype)
    whole[ids] = tensors["x"]
    return Dataset(source=InMemory(whole), y=tensors["y"], ids=ids, targets=tensors.get("targets"), **facts)
