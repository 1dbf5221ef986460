"""Made-up colour images."""

import pytest
import torch

from vauban import data
from vauban.core.errors import ContractError


def test_they_are_smooth_on_the_grid_and_the_same_every_time():
    x = data.load("colours/test[:5]").all().x
    assert x.shape == (5, 3, 32, 32)
    assert torch.equal((255 * x).round() / 255, x)
    assert (x.diff(dim=3).abs() <= 3.5 / 31 + 2 / 255).all()  # a step of the coarse grid is 31/3 pixels wide
    assert x.std() > 0.1
    assert torch.equal(x, data.load("colours/test").take(5).x)


def test_splits_sizes_and_labels():
    train, test = data.load("colours/train:n=7,size=8,classes=3"), data.load("colours:n=7,size=8,classes=3")
    assert train.y.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert train.shape == (3, 8, 8)
    assert not torch.equal(train.all().x, test.all().x)
    with pytest.raises(ContractError, match="size of colours as a whole number of at least 4"):
        data.load("colours:size=2")
