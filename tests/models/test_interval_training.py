"""Training for interval bounds: its loss by hand on a linear network, its schedules, and what it is for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vauban as vb
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.models.objectives.interval import IntervalTraining
from vauban.training.loop import optimise


def batch(n: int = 64) -> Batch:
    x = torch.rand(n, 6, generator=torch.Generator().manual_seed(1))
    y = (x[:, :3].sum(1) > x[:, 3:].sum(1)).long()
    return Batch(0.25 + 0.5 * x, y, torch.arange(n), None)


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))


def gradients(loss: Tensor, of: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(of.parameters())))


def test_the_loss_of_a_linear_network_by_hand() -> None:
    torch.manual_seed(0)
    net, data = nn.Sequential(nn.Linear(6, 3)), batch()
    objective = IntervalTraining(eps=0.1, kappa=0.3, warmup=0, ramp=1).objective(0)
    value, logits = objective(net, data, 5)
    z = net(data.x)
    weight = net[0].weight[data.y][:, None] - net[0].weight[None]
    margins = z.gather(1, data.y[:, None]) - z - 0.1 * weight.abs().sum(2)
    by_hand = 0.3 * F.cross_entropy(z, data.y) + 0.7 * F.cross_entropy(-margins, data.y)
    assert value.item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert logits is not None
    assert torch.equal(logits, z.detach())
    for ours, theirs in zip(gradients(value, net), gradients(by_hand, net), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_eps_and_kappa_go_along_a_line_after_the_warmup() -> None:
    objective = IntervalTraining(eps=0.2, kappa=0.5, warmup=10, ramp=20).objective(0)
    ends = [objective.made(network(), batch(), step) for step in (0, 10, 20, 30, 99)]
    assert [end.eps for end in ends] == pytest.approx([0, 0, 0.1, 0.2, 0.2])
    assert [end.kappa for end in ends] == pytest.approx([1, 1, 0.75, 0.5, 0.5])
    net, data = network(), batch()
    plain = objective(net, data, 3)[0]
    assert plain.item() == pytest.approx(F.cross_entropy(net(data.x), data.y).item(), rel=1e-6)


def test_it_raises_the_certified_radius() -> None:
    y, radii = torch.arange(256) % 2, []
    corners = 0.3 + 0.4 * (
        torch.arange(6) % 2 == y[:, None]
    )  # a class has high even components, the other high odd ones
    data = Batch(corners + 0.1 * (batch(256).x - 0.5), y, torch.arange(256), None)
    for recipe in (None, IntervalTraining(eps=0.15, warmup=10, ramp=20).objective(0)):
        net = network()
        optimise(net, data, objective=recipe, epochs=20, batch=64, lr=1e-2)
        bounds = vb.certify("ibp", net, vb.data.from_torch((data.x, data.y), levels=None), attacks=[])
        columns = bounds.certificates[0].columns
        radii.append((columns["radius"] * (columns["certified"] == columns["y"])).mean())
    assert radii[0] < 0.17 < 0.195 < radii[1]  # the corners are 0.4 apart: no classifier reaches more than 0.2


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)], "BatchNorm1d at 1"),
        ([nn.Linear(6, 2), nn.LayerNorm(2)], "LayerNorm at 1"),
    ],
)
def test_a_layer_without_intervals_is_named_before_training(layers: list[nn.Module], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        IntervalTraining().check(nn.Sequential(*layers), batch())


@pytest.mark.parametrize("word", ["ibp:eps=0", "ibp:kappa=2", "ibp:ramp=0", "ibp+ibp", "ibp:warmup=-1"])
def test_parameters_out_of_range_are_refused(word: str) -> None:
    with pytest.raises(ContractError):
        vb.load("recipe", word)


def test_the_recipe_is_read_back_from_its_text() -> None:
    text = "ibp:eps=0.3,warmup=20,ramp=50"
    assert vb.load("recipe", str(vb.load("recipe", text))) == vb.load("recipe", text)


def test_images_in_half_precision_are_shown_to_it_in_the_networks_type() -> None:
    net, given = network(), batch(8)
    halved = Batch(given.x.half(), given.y, given.ids, None)
    same = Batch(halved.x.float(), given.y, given.ids, None)
    objective = IntervalTraining(eps=0.1, kappa=0.3, warmup=0, ramp=1).objective(0)
    assert torch.equal(objective(net, halved, 5)[0], objective(net, same, 5)[0])
