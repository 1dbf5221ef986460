"""The benchmark of patch replacement runs at a tiny scale."""

from __future__ import annotations

import time

import torch

from benchmarks import patches


def test_it_runs() -> None:
    rows = patches.replacement(torch.rand(2, *patches.SHAPE), 5, 1, time.perf_counter)
    assert [row[0] for row in rows] == ["nine convolutions", "quartered"]
    assert patches.lattice(400, 1, time.perf_counter) > 0
