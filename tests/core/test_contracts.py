"""What breaks the data contract is refused in one line that says what to do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vauban.core.contracts import Batch, check_images, check_labels, check_logits
from vauban.core.errors import ContractError, MissingExtra, UnknownName, VaubanError

GOOD = torch.zeros(3, 1, 4, 4)
Y = torch.tensor([0, 1, 2])


def with_value(value: float) -> Tensor:
    x = GOOD.clone()
    x[1, 0, 2, 3] = value
    return x


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (with_value(float("nan")), "NaN or infinite pixels in sample 1"),
        (with_value(float("inf")), "sample 1"),
        (with_value(255.0), "divide by 255"),
        (with_value(-1.2), "undo the normalisation"),
        (with_value(1.001), r"in \[0, 1\]"),
        (GOOD.to(torch.uint8), "float tensor"),
        (torch.zeros(4), "float tensor"),
        (torch.zeros(0, 1, 4, 4), "empty batch"),
        ([[0.0]], "list"),
    ],
)
def test_images(bad: Tensor, words: str) -> None:
    with pytest.raises(ContractError, match=words) as caught:
        check_images(bad)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_good_images_pass_through(dtype: torch.dtype) -> None:
    for x in (GOOD.to(dtype), torch.ones(2, 5, dtype=dtype)):
        assert check_images(x) is x


@pytest.mark.parametrize("bad", [Y.int(), Y.float(), Y[:2], Y[:, None], [0, 1, 2]])
def test_labels(bad: Tensor) -> None:
    with pytest.raises(ContractError, match=r"int64 of shape \(3,\)"):
        check_labels(bad, 3)


def test_labels_out_of_range() -> None:
    for bad in (Y + 8, Y - 1):
        with pytest.raises(ContractError, match=r"10 classes.*is this the data set"):
            check_labels(bad, 3, 10)


@pytest.mark.parametrize(
    "bad", [torch.zeros(3), torch.zeros(2, 5), torch.zeros(3, 1), torch.zeros(3, 5).long(), (torch.zeros(3, 5),), None]
)
def test_logits(bad: Tensor) -> None:
    with pytest.raises(ContractError, match="expected the model to return"):
        check_logits(bad, 3)


def test_batch() -> None:
    batch = Batch(GOOD, Y, torch.tensor([5, 6, 7]))
    assert len(batch) == 3
    assert batch.take(2).ids.tolist() == [5, 6]
    assert batch.to("cpu").levels == 256
    for ids in (torch.arange(2), torch.arange(3).int(), torch.arange(3.0)):
        with pytest.raises(ContractError, match="3 sample ids as int64"):
            Batch(GOOD, Y, ids)


def test_errors_suggest() -> None:
    assert "did you mean 'pgd'" in str(UnknownName("attack", "pdg", ["pgd", "square"]))
    assert "known: pgd, square" in str(UnknownName("attack", "zzz", ["square", "pgd"]))
    assert "pip install 'vauban[kornia]'" in str(MissingExtra("kornia", "kornia", "JPEG"))
    assert issubclass(UnknownName, VaubanError)
