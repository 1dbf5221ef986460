"""The networks that other tests attack are worth attacking, and training them leaves no trace."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn


@pytest.mark.parametrize("name", ["digits_cnn", "digits_mlp"])
def test_accuracy(name: str, digits_test: tuple[Tensor, Tensor], request: pytest.FixtureRequest) -> None:
    state = torch.get_rng_state()
    net: nn.Module = request.getfixturevalue(name)
    x, y = digits_test
    assert (net(x).argmax(1) == y).float().mean() > 0.93
    assert torch.equal(torch.get_rng_state(), state)
