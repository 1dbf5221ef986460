"""VAT on a quadratic whose dominant eigenvector is known, with and without clean answers that are given."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from vauban.attacks.fixed_budget.vat import VAT
from vauban.core.errors import ContractError
from vauban.core.norms import L2, Linf
from vauban.core.rng import seeded
from vauban.engine import BoundThreat, Oracle


def network() -> nn.Sequential:
    with seeded(1):
        return nn.Sequential(nn.Flatten(), nn.Linear(32, 3)).double().eval()


def opened(net: nn.Module, levels: int | None = None) -> Oracle:
    x = 0.3 + 0.4 * torch.rand(5, 2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = (x * 255).round() / 255
    return Oracle.open(BoundThreat(net, levels=levels), x, torch.arange(5) % 3, ids=torch.arange(5) * 3 + 1)


@pytest.mark.parametrize("levels", [None, 256])
def test_the_perturbation_is_the_dominant_eigenvector_of_the_curvature(levels: int | None) -> None:
    net, oracle = network(), opened(network(), levels)
    crafted = VAT(L2(0.2), steps=60).run(oracle).crafted
    w = net[1].weight.detach()
    for image, moved in zip(oracle.domain.x0, crafted, strict=True):
        p = net(image[None]).softmax(1)[0].detach()
        _, vectors = torch.linalg.eigh(w.T @ (torch.diag(p) - torch.outer(p, p)) @ w)
        d = (moved - image).flatten()
        assert float(d.norm()) == pytest.approx(0.2, abs=1e-9 if levels is None else 0.02)
        assert abs(float(d @ vectors[:, -1]) / float(d.norm())) > (1 - 1e-3 if levels is None else 0.98)


def test_a_given_clean_answer_saves_the_query_and_is_compared_with() -> None:
    oracle = opened(network())
    own = VAT(steps=2).run(oracle)
    assert oracle.forwards.tolist() == [2 + 2] * 5
    assert oracle.backwards.tolist() == [2] * 5
    given = opened(network())
    answers = network()(given.domain.x0).detach()
    told = given.with_goal(replace(given.goal, reference=answers))
    same = VAT(steps=2).run(told)
    assert given.forwards.tolist() == [2 + 1] * 5
    assert torch.equal(own.crafted, same.crafted)
    other = given.with_goal(replace(given.goal, reference=answers.flip(1)))
    assert not torch.allclose(VAT(steps=2).run(other).crafted, own.crafted)


def test_labels_play_no_part() -> None:
    oracle = opened(network())
    elsewhere = oracle.with_goal(replace(oracle.goal, y=(oracle.goal.y + 1) % 3))
    assert torch.equal(VAT().run(oracle).crafted, VAT().run(elsewhere).crafted)


def test_it_works_in_l2() -> None:
    with pytest.raises(ContractError, match="ball of l2"):
        VAT(Linf(0.1))
