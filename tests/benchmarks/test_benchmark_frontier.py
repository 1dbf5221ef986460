"""The comparison of operating characteristics, on distances whose quantiles are known."""

from __future__ import annotations

import torch
from benchmarks.frontier import FAR, compared, distances
from torch import nn

from vauban import attacks, data


def test_a_curve_above_every_other_has_only_negative_gaps() -> None:
    far = torch.linspace(1, 2, 201)
    rows = {row[0]: row[1:] for row in compared({"near": 0.9 * far, "far": far, "farther": 2 * far})}
    assert rows["near"] == [201, 1.0, "1.3500", "-10.0", "-10.0"]
    assert rows["far"] == [201, 1.0, "1.5000", "+11.1", "+11.1"]


def test_a_failure_counts_as_far_and_images_labelled_wrong_are_left_out() -> None:
    class First(nn.Module):
        """Labels everything 0, whatever is done."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 0 * x.flatten(1)[:, :10] + torch.eye(10)[0]

    digits = data.load("digits/test[:60]")
    found = distances(attacks.DDN(steps=2), First(), digits, 32)
    assert len(found) == int((digits.y == 0).sum())
    assert (found == FAR).all()
