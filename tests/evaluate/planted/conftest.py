"""A planter on a small trained network, for tests that look inside a planted image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vauban.core.contracts import Batch


@pytest.fixture(scope="session")
def right_batch(digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]) -> Batch:
    """Eight digits that the network answers rightly."""
    x, y = digits_test
    with torch.no_grad():
        rows = (digits_cnn(x[:12]).argmax(1) == y[:12]).nonzero().squeeze(1)[:8]
    return Batch(x[rows], y[rows], rows)
