"""What a plan says an attack costs is what it costs a sample that nothing breaks, and at most that elsewhere."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from vauban.attacks import registry
from vauban.core.norms import norm_by_name
from vauban.engine import BoundThreat, Oracle

FEW = {"steps": 4, "search_steps": 2, "n_target": 3, "queries": 30, "tries": 6, "classes": 4, "pairs": 3}
FEW |= {"coordinates": 5, "population": 6, "candidates": 6}
LOOSE = {"orthogonal-pgd", "boundary", "hopskipjump", "jsma", "fab"}
"""No start is adversarial; bisections end where two blends round alike; no pair of features is left to move; a success is
searched further; one gradient a step in place of two where nothing is rejected."""


class Unbreakable(nn.Module):
    """Class 0 by a wide margin, with a gradient."""

    def forward(self, x: Tensor) -> Tensor:
        rest = torch.stack([x.flatten(1)[:, k] for k in range(9)], 1)
        return torch.cat([torch.full_like(rest[:, :1], 1e4), rest], 1)


def few(name: str) -> object:
    """The attack in its first norm with few steps."""
    entry = registry.get(name)
    fields = {f.name: f for f in dataclasses.fields(entry.make)}
    params = {k: v for k, v in FEW.items() if k in fields and fields[k].init}
    if "ball" in fields:
        params["ball"] = norm_by_name(entry.facts["norms"][0])(0.1)
    if entry.facts.get("fitted"):
        params["v"] = torch.zeros(1, 8, 8)
    return entry.make(**params)


@pytest.mark.slow
@pytest.mark.parametrize("name", [entry.name for entry in registry if not entry.facts.get("combines")])
def test_the_plan_bounds_the_cost(name: str, digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]) -> None:
    attack = few(name)
    known = attack.passes
    assert known is not None, "an attack says what it costs: Steps do by themselves, others by a property `passes`"
    for net in (Unbreakable(), digits_cnn):
        x = digits_test[0][:4]
        result = attack.run(Oracle.open(BoundThreat(net), x, net(x).argmax(1)))
        assert int(result.forwards.max()) <= known[0]
        assert int(result.backwards.max()) <= known[1]
    hard = Unbreakable()
    result = attack.run(Oracle.open(BoundThreat(hard), x, torch.zeros(4, dtype=torch.int64)))
    if name not in LOOSE:
        assert (int(result.forwards.max()), int(result.backwards.max())) == known
