"""Declared ranges of defences: the ends are taken, and everything outside is refused in one line."""

from __future__ import annotations

import math
from dataclasses import fields
from functools import partial
from typing import Any

import pytest
import torch

from vauban import defences
from vauban.core.annotations import declared
from vauban.core.errors import ContractError
from vauban.core.parameters import fits
from vauban.core.secret import Secret
from vauban.defences import DifferentiableJPEG
from vauban.defences.autoencoders.reconstruction import TrainedAutoEncoder
from vauban.defences.autoencoders.segnet import SegNet
from vauban.defences.detectors.base import Calibration
from vauban.defences.features.neighbour_vote import LabelledFeatures
from vauban.defences.keyed.permutation import PixelPermutation

ABOVE_0, ABOVE_1 = math.nextafter(0, 1), math.nextafter(1, 2)
RANGES: dict[tuple[str, str], tuple[tuple[float, ...], tuple[float, ...]]] = {
    # values at the ends of the range; values just outside
    ("bilateral", "sigma_domain"): ((ABOVE_0, 1e6), (0.0, -ABOVE_0)),
    ("bilateral", "sigma_range"): ((1e-6, 1e6), (9e-7, 0.0)),
    ("bit-depth", "bits"): ((1, 8), (0, 9, 3.0)),
    ("diagonal-filter", "size"): ((1, 31), (0, 2, 30, 32, 33, 3.0)),
    ("gaussian-filter", "sigma"): ((1e-3, 1e6), (9e-4, 0.0)),
    ("block-permutation", "block"): ((1, 4), (0, -1, 4.0)),
    ("keyed-channels", "channels"): ((2, 3), (1, 0, 3.0)),
    ("keyed-signs", "share"): ((0, 1, 0.5), (-ABOVE_0, ABOVE_1)),
    ("gaussian-filter", "size"): ((1, 31), (0, 2, 30, 32, 33, 3.0)),
    ("gaussian-noise", "sigma"): ((ABOVE_0, 1, 1.0), (0.0, -ABOVE_0, ABOVE_1)),
    ("dropout-uncertainty", "passes"): ((2, 10_000), (1, 10_001, 50.0)),
    ("dropout-uncertainty", "rate"): ((ABOVE_0, math.nextafter(1, 0)), (0.0, 1.0, -ABOVE_0)),
    ("jpeg", "quality"): ((1, 100), (0, 101, 75.0)),
    ("mean-filter", "size"): ((1, 2, 31), (0, 32, 3.0)),
    ("magnet", "temperature"): ((1e-3, 1e6), (9e-4, 0.0)),
    ("median-filter", "size"): ((1, 2, 31), (0, 32, 3.0)),
    ("non-local-means", "search"): ((1, 63), (0, 2, 64, 65, 11.0)),
    ("non-local-means", "patch"): ((1, 31), (0, 2, 32, 33, 3.0)),
    ("non-local-means", "strength"): ((1e-3, 1e3), (9e-4, 1001.0)),
    ("neighbours", "k"): ((1, 5), (0, -1, 5.0)),
    ("patches", "epsilon"): ((0.0,), (-ABOVE_0,)),
    ("patches", "step"): ((1,), (0, 1.0)),
    ("patches", "lattice"): ((1e-4, 1e3), (9e-5, 1001.0)),
    ("patches", "temperature"): ((ABOVE_0, 1e6), (0.0, -ABOVE_0)),
    ("quilting", "nearest"): ((1, 1000), (0, -1, 3.0)),
    ("quilting", "overlap"): ((1, 2), (0, 3, 16, 2.0)),
    ("quilting", "size"): ((4, 31), (0, 32, 5.0)),
    ("random-jpeg", "low"): ((1, 90), (0, 91, 101, 20.0)),
    ("random-jpeg", "high"): ((20, 100), (0, 19, 101, 90.0)),
    ("sparse-reconstruction", "atoms"): ((1, 64), (0, 65, 4.0)),
    ("sparse-reconstruction", "step"): ((1, 8), (0, 9, 2.0)),
    ("sparse-reconstruction", "size"): ((2, 31), (0, 32, 8.0)),
    ("stochastic-activation-pruning", "share"): ((ABOVE_0, 100), (0.0, -ABOVE_0, math.nextafter(100, 101))),
    ("sign-noise", "eps"): ((ABOVE_0, 1, 1.0), (0.0, -ABOVE_0, ABOVE_1)),
    ("crop-ensemble", "crops"): ((1, 1000), (0, 1001, 30.0)),
    ("crop-ensemble", "share"): ((ABOVE_0, 1, 1.0), (0.0, -ABOVE_0, ABOVE_1)),
    ("pixel-deflection", "deflections"): ((0, 1_000_000), (-1, 1_000_001, 200.0)),
    ("pixel-deflection", "radius"): ((1, 1000), (0, 1001, 10.0)),
    ("pixel-deflection", "sigma"): ((0.0, 1e6), (-ABOVE_0,)),
    ("random-resize", "least"): ((ABOVE_0, 1, 1.0), (0.0, -ABOVE_0, ABOVE_1)),
    ("random-resize", "frame"): ((0, 331), (-1, 331.0)),
    ("total-variation", "keep"): ((ABOVE_0, 1, 1.0), (0.0, -ABOVE_0, ABOVE_1)),
    ("total-variation", "weight"): ((0.0, 1e6), (-ABOVE_0,)),
    ("total-variation", "iterations"): ((1, 100_000), (0, 100_001, 100.0)),
    ("uniform-noise", "width"): ((ABOVE_0, 1, 1.0), (0.0, -ABOVE_0, ABOVE_1)),
}
NO_NUMBERS = (math.nan, math.inf, -math.inf, "3", True, None)


def test_every_number_is_in_the_table() -> None:
    assert {
        (entry.name, field.name)
        for entry in defences.registry
        for field in fields(entry.make)  # type: ignore[arg-type]
        if any(fits(number, declared(entry.make)[field.name]) for number in (1, 2, 0.5))
        and not fits("a name", declared(entry.make)[field.name])
    } == set(RANGES)


@pytest.mark.parametrize(("name", "field"), RANGES)
def test_a_number_outside_its_range_is_refused_in_one_line(name: str, field: str) -> None:
    entry = defences.registry.get(name)
    given: dict[str, Any] = {"key": Secret.public(7)} if "key" in entry.words else {}
    if name == "magnet":
        given = {"trained": TrainedAutoEncoder(SegNet(1), (1, 8, 8)), "calibration": Calibration((0, 0), (1, 1))}
    if name == "keyed-channels":
        given = {"transform": PixelPermutation(Secret.public(7))}
    if name == "neighbours":
        given = {"gallery": LabelledFeatures(torch.zeros(5, 2), torch.zeros(5, dtype=torch.int64), 3, "0")}
    if name == "dropout-uncertainty":
        given = {"calibration": Calibration((0,), (1,))}
    make = partial(entry.make, **given)
    inside, outside = RANGES[name, field]
    for value in inside:
        assert getattr(make(**{field: value}), field) == value
    taken = fits(None, declared(entry.make)[field])
    for wrong in (*outside, *(value for value in NO_NUMBERS if value is not None or not taken)):
        with pytest.raises(ContractError, match="expected") as error:
            make(**{field: wrong})
        assert str(wrong) in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("wrong", [0, 101, *NO_NUMBERS])
def test_the_substitute_of_jpeg_takes_the_qualities_of_jpeg(wrong: Any) -> None:
    with pytest.raises(ContractError, match="expected quality of DifferentiableJPEG as a whole number of at least 1"):
        DifferentiableJPEG(wrong)
