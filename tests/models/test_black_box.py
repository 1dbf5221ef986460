"""Opaque callables: queries work, gradients are refused, labels-only reveals labels only."""

import numpy as np
import pytest
import torch

from vauban import models
from vauban.core.errors import AccessError, ContractError

X = torch.rand(4, 1, 2, 2, generator=torch.Generator().manual_seed(0))


def scores(batch):
    assert isinstance(batch, np.ndarray)
    assert batch.dtype == np.float32
    return batch.reshape(len(batch), -1)[:, :3].astype(np.float64) * 7


def labels(batch):
    return scores(batch).argmax(1)


def test_scores_pass_through():
    model = models.black_box(scores)
    torch.testing.assert_close(model(X), X.flatten(1)[:, :3] * 7)
    assert model.grants == {"scores", "labels"}
    as_tensors = models.black_box(lambda x: x.flatten(1).tolist(), takes="torch")
    torch.testing.assert_close(as_tensors(X), X.flatten(1))


@pytest.mark.parametrize("fn", [labels, scores, lambda b: labels(b).tolist()])
def test_labels_only_reveals_a_one_hot_row(fn):
    model = models.black_box(fn, labels_only=True, classes=3)
    assert model.grants == {"labels"}
    expected = torch.nn.functional.one_hot(X.flatten(1)[:, :3].argmax(1), 3).float()
    assert torch.equal(model(X), expected)


@pytest.mark.parametrize("labels_only", [False, True])
def test_asking_for_gradients_is_refused_by_name(labels_only):
    model = models.black_box(scores, labels_only=labels_only)
    x = X.clone().requires_grad_()
    logits = model(x)
    with pytest.raises(AccessError, match="'scores' answers queries but has no gradients"):
        torch.autograd.grad(logits.sum(), x)
    with torch.no_grad():
        assert torch.equal(model(x), logits)


@pytest.mark.parametrize(
    ("fn", "settings", "says"),
    [
        (labels, {}, "labels_only=True"),
        (labels, {"labels_only": True}, "classes="),
        (labels, {"labels_only": True, "classes": 2}, r"labels in \[0, 1\]"),
        (lambda b: scores(b)[:2], {}, r"\(4, classes >= 2\)"),
        (scores, {"classes": 5}, "5 scores per image"),
        (lambda b: scores(b) * np.nan, {}, "finite scores"),
        (lambda b: scores(b)[:, 0], {"labels_only": True, "classes": 3}, "integer labels"),
        (lambda b: {"a": 1}, {}, "array of scores"),
        (lambda b: [[1.0], [1.0, 2.0]], {}, "array of scores"),
    ],
)
def test_answers_of_the_wrong_kind(fn, settings, says):
    with pytest.raises(ContractError, match=says) as caught:
        models.black_box(fn, **settings)(X)
    assert "\n" not in str(caught.value)


def test_not_a_callable():
    with pytest.raises(ContractError, match="callable"):
        models.black_box(3)
    with pytest.raises(ContractError, match="takes"):
        models.black_box(scores, takes="jax")
