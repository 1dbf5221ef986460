"""Criteria of training: label smoothing against its targets by hand."""

import pytest
import torch
from torch.nn import functional as F

from vauban.core.errors import ContractError
from vauban.training.criteria.cross_entropy import CrossEntropy
from vauban.training.criteria.label_smoothing import LabelSmoothing

LOGITS = torch.tensor([[1.0, -2.0, 0.5, 3.0], [0.0, 0.3, -0.7, 0.2], [-9.0, 4.0, 4.0, 1.0]], dtype=torch.float64)
Y = torch.tensor([0, 3, 2])


@pytest.mark.parametrize("share", [0.9, 0.25, 0.5, 1.0])
def test_label_smoothing_is_the_cross_entropy_with_targets_written_out(share):
    targets = torch.full((3, 4), (1 - share) / 3, dtype=torch.float64)
    targets[torch.arange(3), Y] = share
    by_hand = -(targets * LOGITS.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(LabelSmoothing(share)(LOGITS, Y), by_hand)


def test_it_is_pytorchs_with_the_share_converted():
    e = 0.2
    torch.testing.assert_close(LabelSmoothing(1 - e + e / 4)(LOGITS, Y), F.cross_entropy(LOGITS, Y, label_smoothing=e))


def test_the_cross_entropy_is_pytorchs_bit_for_bit():
    assert torch.equal(CrossEntropy()(LOGITS, Y), F.cross_entropy(LOGITS, Y))


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan"), "all"])
def test_a_share_outside_its_range_is_refused(share):
    with pytest.raises(ContractError, match="share of LabelSmoothing"):
        LabelSmoothing(share)
