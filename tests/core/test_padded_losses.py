"""Losses on the logits of a source that has no column for 'rejected': those of its own columns, without NaN."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vauban.attacks.minimal.lbfgs import log_wanted
from vauban.attacks.parts.sapper_schedule import soft_margin
from vauban.core.errors import ContractError
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import LOSSES, Loss, dlr
from vauban.core.rng import Stream
from vauban.engine.network import in_columns

ALL: dict[str, Loss] = {**LOSSES, "log-wanted": log_wanted, "soft-margin": soft_margin(4.0, None)}


def value_and_gradient(loss: Loss, logits: Tensor, goal: ResolvedGoal, columns: int) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_(True)
    value = loss(in_columns(leaf, columns), goal)
    (g,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), g


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["untargeted", "targeted", "toward"])
@pytest.mark.parametrize("name", sorted(ALL))
@given(seed=st.integers(0, 10**6), classes=st.integers(3, 6))
def test_a_source_without_the_column_keeps_its_losses(name: str, kind: str, seed: int, classes: int) -> None:
    stream = Stream(seed, torch.arange(5))
    logits, y = 3 * stream.normal("z", (classes,), dtype=torch.float64), stream.integers("y", classes)
    other = (y + 1 + stream.integers("t", classes - 1)) % classes
    target, toward = (other if kind == word else None for word in ("targeted", "toward"))
    own = value_and_gradient(ALL[name], logits, ResolvedGoal(y, target, toward=toward), classes)
    padded = value_and_gradient(ALL[name], logits, ResolvedGoal(y, target, True, toward), classes + 1)
    for ours, theirs in zip(padded, own, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9)


def test_a_column_that_the_target_does_not_have_goes() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    assert in_columns(logits, 2).tolist() == [[1.0, 2.0]]
    assert in_columns(logits, 4).tolist() == [[1.0, 2.0, 3.0, -torch.inf]]
    assert in_columns(logits, 3) is logits


def test_dlr_of_two_classes_and_none_for_rejected_is_refused() -> None:
    goal = ResolvedGoal(torch.tensor([0]), rejects=True)
    with pytest.raises(ContractError, match="3 classes"):
        dlr(in_columns(torch.zeros(1, 2), 3), goal)
    assert dlr(torch.tensor([[2.0, 1.0, 0.0]]), goal).item() == pytest.approx(-0.5)
