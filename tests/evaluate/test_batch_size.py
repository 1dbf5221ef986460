"""Batch size: the largest that a device's memory holds, found once, kept in the run and told to workers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vauban.evaluate import batch_size
from vauban.evaluate.batch_size import largest_fitting
from vauban.evaluate.study import Study

ASKED: list[int] = []
"""The sizes of the batches of `Small`."""


class Small(nn.Module):
    """A network on a device that holds 50 images at once."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        ASKED.append(len(x))
        if len(x) > 50:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.inner(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("holds", "first", "most", "size"),
    [
        (1000, 16, 4096, 512),
        (1000, 16, 300, 512),
        (1000, 16, 256, 256),
        (7, 64, 4096, 4),
        (0, 64, 4096, 1),
        (64, 64, 64, 64),
    ],
)
def test_sizes_are_doubled_until_one_does_not_fit(holds: int, first: int, most: int, size: int) -> None:
    assert largest_fitting(lambda n: n <= holds, first, most) == size


def test_a_study_takes_what_fits_with_a_quarter_more_and_finds_it_again(
    tmp_path: Path, digits_cnn: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_size, "automatic_batch_size", lambda data: 8)
    small = Small(digits_cnn).eval()

    def study() -> Study:
        ASKED.clear()
        words = {"data": "digits/test[:40]", "attacks": "fgsm:eps=0.1", "preflight": False}
        return Study(tmp_path, models={"small": small}, **words)  # type: ignore[arg-type]

    study()
    assert ASKED == [] or max(ASKED) < 10  # on a CPU nothing is looked for
    monkeypatch.setattr(batch_size, "SEARCHED", ("cpu",))
    first = study()
    assert [n for n in ASKED if n >= 10] == [10, 20, 40, 80]
    assert first.settings.batch_size == 32
    first.run(progress=False)
    again = study()
    assert not [n for n in ASKED if n >= 10]
    assert [cell.hash for cell in again.cells] == [cell.hash for cell in first.cells]
