"""Every field of a training given odd values: refused by name before anything is spent, or it trains."""

from __future__ import annotations

import dataclasses
import importlib
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import vauban as vb
from vauban.core.errors import ContractError, VaubanError
from vauban.training.run import TrainingRun

ODD: tuple[Any, ...] = (
    *(0, -1, -0.5, 1, 2.5, 1e9, 1e-9, 5e-324, 1e30, 0.999999999),
    *(math.nan, math.inf, -math.inf, None, True, False, "ten", "", "yes", [1], (-1,), object(), torch.tensor(1.0)),
)
STANDS_FOR = {"start": "weights file"}
FIELDS = [field.name for field in dataclasses.fields(TrainingRun)]
GOOD: dict[str, Any] = {"model": "digits-cnn", "data": "digits/train[:24]", "epochs": 1}
FITS = {"epochs": 1, "batch": 1, "holdout": 0, "lr": 0, "weight_decay": 0, "seed": -1, "minutes": 2.5, "start": None}
"""A value of ODD that a training takes."""


class Spent(Exception):  # noqa: N818 - no error: the training would begin
    """A training would begin."""


@pytest.mark.parametrize("name", FIELDS)
def test_odd_values_are_refused_by_name_before_anything_is_spent(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def optimise(*_: Any, **__: Any) -> None:
        raise Spent

    monkeypatch.setattr(importlib.import_module("vauban.evaluate.training"), "optimise", optimise)
    data, began = vb.data.load("digits/train[:24]"), []
    for value in ODD:
        try:
            vb.train(TrainingRun(**{**GOOD, name: value}), data, tmp_path / "w.safetensors")
        except VaubanError as error:
            text = str(error)
            assert "\n" not in text
            assert name in text or STANDS_FOR.get(name, "?") in text, text
        except Spent:
            began.append(value)
    assert not list(tmp_path.iterdir())
    for value in began:
        assert name == "data" or not isinstance(value, str), value  # `data` is what the file says of the samples
        assert value is None or isinstance(value, str | int | float), value
        assert not isinstance(value, float) or math.isfinite(value)
    if name in FITS:
        assert any(value is FITS[name] or value == FITS[name] for value in began)


def test_a_holdout_that_leaves_nothing_to_train_on(tmp_path: Path) -> None:
    data = vb.data.load("digits/train[:2]")
    with pytest.raises(ContractError, match=r"holdout that leaves samples to train on, got 0\.9 of 2"):
        vb.train(TrainingRun(**{**GOOD, "holdout": 0.9}), data, tmp_path / "w.safetensors")
