"""The comparison of operating characteristics, on distances whose quantiles are known."""

from __future__ import annotations

import torch
from benchmarks.frontier import FAR, compared, deciles, distances, paired
from torch import nn

from vauban import attacks, data


def test_a_curve_above_every_other_has_only_negative_gaps() -> None:
    far = torch.linspace(1, 2, 201)
    rows = {row[0]: row[1:] for row in compared({"near": 0.9 * far, "far": far, "farther": 2 * far})}
    assert rows["near"] == [201, "1.000", "1.3500", "1.3500", "-10.0", "-10.0"]
    assert rows["far"] == [201, "1.000", "1.5000", "1.5000", "+11.1", "+11.1"]


def test_a_failure_counts_as_far_and_images_labelled_wrong_are_left_out() -> None:
    class First(nn.Module):
        """Labels everything 0, whatever is done."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 0 * x.flatten(1)[:, :10] + torch.eye(10)[0]

    digits = data.load("digits/test[:60]")
    measured = distances(attacks.DDN(steps=2), First(), digits, 32)
    assert len(measured) == int((digits.y == 0).sum())
    assert (measured == FAR).all()


def test_a_paired_ratio_needs_no_equal_images_and_leaves_failures_out() -> None:
    far = torch.linspace(1, 2, 201)
    near = 0.9 * far
    near[0], far[5] = FAR, FAR
    assert paired({"near": near, "far": far}, "near", seed=0) == [["far", 199, "0.9000", "0.9000", "0.9000"]]


def test_the_interval_of_a_ratio_widens_with_what_differs() -> None:
    g = torch.Generator().manual_seed(1)
    far = 1 + torch.rand(400, generator=g)
    noisy = far * (0.8 + 0.4 * torch.rand(400, generator=g))
    (row,) = paired({"noisy": noisy, "far": far}, "noisy", seed=0)
    low, ratio, high = float(row[3]), float(row[2]), float(row[4])
    spread = float((noisy - ratio * far).std() / far.mean() / 20)
    assert low < ratio < high
    assert abs((high - low) / (2 * 1.96 * spread) - 1) < 0.1


def test_deciles_are_those_of_all_images() -> None:
    d = torch.linspace(0, 1, 11)
    d[-2:] = FAR
    (row,) = deciles({"a": d})
    assert row == ["a", *(f"{k / 10:.4f}" for k in range(1, 9)), "fails"]
