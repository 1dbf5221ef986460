"""The confusion table: networks in which gradients are masked on purpose, and honest ones, against the preflight."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from vauban.core.goals import Untargeted
from vauban.engine import BoundThreat
from vauban.evaluate.diagnostics.preflight import before

pytestmark = pytest.mark.slow


class Around(nn.Module):
    """after(net(front(x)))."""

    def __init__(self, net: nn.Module, front: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.front, self.back = net, front, back

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.back(self.net(self.front(x)))
        return out


class Purified(nn.Module):
    """Three gradient steps on the input toward a confident answer before classifying."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        z = x.detach()
        for _ in range(3):
            with torch.enable_grad():
                z = z.requires_grad_(True)
                (g,) = torch.autograd.grad(self.net(z).logsumexp(1).sum(), z)
            z = (z + 0.01 * g.sign()).detach()
        out: Tensor = self.net(x + (z - x).detach())
        return out


class WrongGradient(torch.autograd.Function):
    """The identity, with a gradient whose pixels are shuffled and half of them inverted."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: object, *grad: Tensor) -> Tensor:
        g = grad[0].flatten(1).roll(19, 1)
        sign = torch.ones(g.shape[1]).index_fill(0, torch.arange(0, g.shape[1], 2), -1.0)
        return (g * sign).view_as(grad[0])


def same(x: Tensor) -> Tensor:
    return x


def straight_round(x: Tensor) -> Tensor:
    return x + (torch.round(x * 7) / 7 - x).detach()


def ripple(x: Tensor) -> Tensor:
    return x + 0.6 * torch.sin(3000 * x)


def vote(z: Tensor) -> Tensor:
    return nn.functional.one_hot(z.argmax(1), z.shape[1]).to(z.dtype)


def with_dropout(net: nn.Module) -> nn.Module:
    return Around(net, lambda x: x * torch.bernoulli(torch.full_like(x, 0.9)), same)


class NoGrad(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


POSITIVE: dict[str, tuple[Callable[[nn.Module], nn.Module], set[str]]] = {
    "detached input": (lambda net: Around(net, lambda x: x.detach(), same), {"no-gradients"}),
    "no_grad inside": (NoGrad, {"no-gradients"}),
    "killer: sign of the input": (
        lambda net: Around(net, lambda x: torch.sign(x - 0.3) / 2 + 0.5, same),
        {"zero-gradients", "piecewise-constant"},
    ),
    "rounded input": (
        lambda net: Around(net, lambda x: torch.round(x * 7) / 7, same),
        {"zero-gradients", "piecewise-constant"},
    ),
    "rounded, straight through": (lambda net: Around(net, straight_round, same), {"piecewise-constant"}),
    "saturating sigmoid": (
        lambda net: Around(net, lambda x: torch.sigmoid(1000 * (x - 0.28)), same),
        {"zero-gradients"},
    ),
    "wrong gradient": (lambda net: Around(net, WrongGradient.apply, same), {"gradient-mismatch"}),
    "rippled input": (lambda net: Around(net, ripple, same), {"unstable-predictions", "gradient-mismatch"}),
    "logits x 1000": (lambda net: Around(net, same, lambda z: z * 1000), {"saturated-loss", "logit-scale"}),
    "logits x 100": (lambda net: Around(net, same, lambda z: z * 100), {"saturated-loss", "logit-scale"}),
    "softmax output": (lambda net: Around(net, same, lambda z: z.softmax(1)), {"probabilities"}),
    "one-hot output": (lambda net: Around(net, same, vote), {"one-hot"}),
    "additive noise": (
        lambda net: Around(net, lambda x: x + 0.05 * torch.randn_like(x), same),
        {"undeclared-randomness"},
    ),
    "Bernoulli dropout": (with_dropout, {"undeclared-randomness"}),
    "test-time optimisation": (Purified, {"test-time-optimisation"}),
    "centred on the batch": (lambda net: Around(net, same, lambda z: z - z.mean(0)), {"batch-dependent"}),
    "NaN logits": (lambda net: Around(net, same, lambda z: z.log()), {"not-finite"}),
    "shuffled labels": (lambda net: Around(net, same, lambda z: z.roll(3, 1)), {"low-accuracy"}),
}
NEGATIVE = ("clean", "pgd-trained", "batchnorm", "linear")


def codes(module: nn.Module, data: tuple[Tensor, Tensor], seed: int) -> set[str]:
    x, y = data
    return {f.code for f in before(BoundThreat(module), x[:64], y[:64], Untargeted(), seed=seed)}


def test_confusion_table(
    calibration_net: Callable[..., nn.Module], digits_test: tuple[Tensor, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[tuple[str, set[str], set[str]]] = []
    for base in ("clean", "pgd-trained"):
        for name, (mask, expected) in POSITIVE.items():
            rows.append((f"{name} ({base})", expected, codes(mask(calibration_net(base)), digits_test, 1)))
    for seed in (0, 1):
        rows += [(f"{kind}, seed {seed}", set(), codes(calibration_net(kind), digits_test, seed)) for kind in NEGATIVE]
    with capsys.disabled():
        print()
        for name, expected, found in rows:
            extra = ", ".join(sorted(found - expected))
            print(f"{name:42} {', '.join(sorted(expected & found)) or '-':44} {'also: ' + extra if extra else ''}")
    assert {name: expected - found for name, expected, found in rows if expected - found} == {}
    assert {name: found for name, expected, found in rows if found and not expected} == {}
