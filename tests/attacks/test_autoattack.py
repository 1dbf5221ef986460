"""AutoAttack's battery: its members and counts, unrounded images, and who broke an image."""

from __future__ import annotations

import pytest
import torch

import vauban as vb
from vauban import attacks
from vauban.attacks.autoattack import AutoAttack
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.norms import L1, Linf
from vauban.core.pixel_grid import on_grid


def test_members_order_and_counts_are_the_originals() -> None:
    battery = AutoAttack(Linf(0.1))
    assert [type(member) for member in battery.members] == [attacks.APGD, attacks.APGDT, attacks.FABT, attacks.Square]
    ce, targeted, fab, square = battery.members
    assert (ce.steps, targeted.steps, fab.steps, square.steps) == (100, 100, 100, 5000)
    assert ce.loss.__name__ == "cross_entropy"
    assert (targeted.n_target, fab.n_target) == (9, 9)
    assert battery.passes == (101 + (9 * 101 + 1) + (9 * 201 + 1) + 5001, 100 + 900 + 900)


@pytest.mark.parametrize("rounded", [False, True])
def test_images_are_rounded_only_when_asked_and_judged_as_they_are(rounded, digits_cnn, digits_test) -> None:
    x, y = (part[:24] for part in digits_test)
    battery = AutoAttack(Linf(0.1), steps=8, n_target=2, queries=30, rounded=rounded)
    report = vb.attack(battery, digits_cnn, Batch(x, y, torch.arange(24)))
    assert report.success.any()
    assert on_grid(report.adversarial, 256) is rounded
    assert torch.equal(report.success, digits_cnn(report.adversarial).argmax(1) != y)
    assert ((report.adversarial - x).abs() <= 0.1 + 1e-6).all()
    assert report.stages == ("apgd", "apgd-t", "fab-t", "square")
    won = report.evaluated.attacked & report.success
    assert torch.equal(report.broken_by >= 0, won)


def test_l1_is_refused() -> None:
    with pytest.raises(ContractError, match="expected a ball of linf, l2"):
        AutoAttack(L1(1.0))
