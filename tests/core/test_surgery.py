"""Surgery: the place is changed, the weights are shared, and the original computes what it did."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vauban.core.errors import ContractError
from vauban.core.surgery import hookable, replaced, submodule, watched


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.register_buffer("factor", torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Twice(nn.Module):
    """The same submodule under two names, inside another one that is also under two names."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.first = self.second = nn.Sequential(inner)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + self.second(x)


@pytest.fixture
def network() -> nn.Sequential:
    return nn.Sequential(nn.Sequential(Scale(3.0), nn.Linear(2, 2)), nn.BatchNorm1d(2), nn.Sequential()).eval()


X = torch.tensor([[1.0, 2.0], [-1.0, 0.5]])


@pytest.mark.parametrize("by_name", [True, False])
def test_only_the_place_is_changed(network: nn.Sequential, by_name: bool) -> None:
    before, tables = network(X), dict(network.named_modules())
    changed = replaced(network, "0.0" if by_name else network[0][0], Scale(-2.0))
    want = network[1](network[0][1](-2.0 * X))
    assert torch.equal(changed(X), want)
    assert not torch.equal(changed(X), before)
    assert torch.equal(network(X), before)
    assert dict(network.named_modules()) == tables
    assert changed[0][1] is network[0][1]
    assert changed[1] is network[1]
    assert [name for name, _ in changed.named_modules()] == list(tables)


def test_weights_are_shared_and_follow_each_other(network: nn.Sequential) -> None:
    changed = replaced(network, "0.0", nn.Identity())
    with torch.no_grad():
        network[0][1].weight.zero_()
        network[0][1].bias.fill_(7.0)
    torch.testing.assert_close(changed(X), network[1](torch.full((2, 2), 7.0)))


def test_hooks_and_edits_of_the_copy_do_not_reach_the_original(network: nn.Sequential) -> None:
    before = network(X)
    changed = replaced(network, "0.0", nn.Identity())
    seen: list[Tensor] = []
    changed.register_forward_hook(lambda module, args, output: seen.append(output))
    changed[0].register_forward_hook(lambda module, args, output: output * 0)
    changed[0].register_buffer("added", torch.ones(()))
    changed.add_module("3", Scale(0.0))
    assert torch.equal(network(X), before)
    assert not seen
    assert not dict(network[0].named_buffers(recurse=False))
    assert len(network) == 3
    assert (changed(X) == 0).all()
    assert len(seen) == 1


def test_hooks_of_the_original_stay_in_force_on_the_copy() -> None:
    network = nn.Sequential(nn.Sequential(Scale(3.0)))
    network[0].register_forward_hook(lambda module, args, output: output + 1)
    assert torch.equal(replaced(network, "0.0", Scale(2.0))(X), 2 * X + 1)


def test_modes_are_kept(network: nn.Sequential) -> None:
    network[0].train()
    changed = replaced(network, "0.0", Scale(1.0).eval())
    assert [part.training for part in changed.modules()] == [
        part.training if part is not network[0][0] else False for part in network.modules()
    ]


def test_a_module_that_stands_in_two_places_is_replaced_in_both_and_stays_one() -> None:
    network = Twice(Scale(3.0))
    changed = replaced(network, "second.0", Scale(-1.0))
    assert torch.equal(changed(X), -2 * X)
    assert changed.first is changed.second
    assert torch.equal(network(X), 6 * X)


def test_an_empty_container_is_a_module_like_any_other(network: nn.Sequential) -> None:
    assert torch.equal(replaced(network, network[2], Scale(0.0))(X), torch.zeros(2, 2))


def test_the_network_itself_and_a_stranger() -> None:
    network, other = nn.Sequential(Scale(1.0)), Scale(2.0)
    assert replaced(network, network, other) is other
    assert replaced(network, "", other) is other
    assert replaced(network, other, Scale(5.0)) is network


def test_submodules_are_named(network: nn.Sequential) -> None:
    assert submodule(network, "0.1") is network[0][1]
    assert submodule(network, "") is network
    for call in (lambda: submodule(network, "0.9", "an edit"), lambda: replaced(network, "0.9", Scale(1.0))):
        with pytest.raises(ContractError, match=r"to name a submodule of Sequential, got '0\.9'; it has: 0, 0\.0") as e:
            call()
        assert "\n" not in str(e.value)
    with pytest.raises(ContractError, match="it has: none"):
        submodule(Scale(1.0), "inner")


def test_a_watched_layer_is_seen_as_it_was_whatever_works_in_place_behind_it() -> None:
    first, last = nn.Linear(3, 4), nn.Linear(4, 2)
    net = nn.Sequential(first, nn.ReLU(inplace=True), last)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    with watched((first, "output"), (last, "input"), (net, "output")) as (hidden, entering, logits):
        net(x), net(2 * x)
    net(x)
    assert [len(calls) for calls in (hidden, entering, logits)] == [2, 2, 2]
    assert torch.equal(hidden[0], first(x))
    assert torch.equal(entering[1], first(2 * x).relu())
    assert torch.equal(logits[0], net(x))
    (gradient,) = torch.autograd.grad(hidden[0].sum(), x)
    assert torch.equal(gradient, first.weight.sum(0).expand(5, 3))
    assert not any(part._forward_hooks for part in net.modules())


def test_hooks_on_a_hookable_copy_do_not_reach_the_network(network: nn.Sequential) -> None:
    before = network(X)
    copy, parts = hookable(network, [network[0][0], network[0][1]])
    parts[0].register_forward_hook(lambda module, args, output: output + 1)
    copy.register_forward_hook(lambda module, args, output: output * 2)
    assert torch.equal(network(X), before)
    assert not torch.equal(copy(X), before)
    assert [type(part) for part in parts] == [type(network[0][0]), type(network[0][1])]
    assert list(map(id, copy.parameters())) == list(map(id, network.parameters()))


def test_a_network_of_one_layer_is_hookable() -> None:
    layer = nn.Linear(2, 2)
    copy, (part,) = hookable(layer, [layer])
    assert copy is part is not layer
    part.register_forward_hook(lambda module, args, output: output + 1)
    assert torch.equal(copy(X), layer(X) + 1)
