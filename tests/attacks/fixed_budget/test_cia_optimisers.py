"""CIA by torch's optimisers: the plain loop of torch, sample by sample, also when rows are dropped midway."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim

from vauban.attacks.fixed_budget.cia import CIA
from vauban.attacks.parts.optimisers import Adam
from vauban.core.errors import ContractError
from vauban.core.norms import Linf
from vauban.engine import BoundThreat, Oracle, iterate

OptimiserFactory = Callable[[list[Tensor]], optim.Optimizer]
MAKERS: dict[str, OptimiserFactory] = {
    "sgd": partial(optim.SGD, lr=2.0),
    "momentum": partial(optim.SGD, lr=1.0, momentum=0.9, nesterov=True),
    "rmsprop": partial(optim.RMSprop, lr=0.1, momentum=0.5, centered=True),
    "adam": partial(optim.Adam, lr=0.2, betas=(0.1, 0.6)),
    "amsgrad": partial(optim.Adam, lr=0.2, amsgrad=True),
    "adamw": partial(optim.AdamW, lr=0.2, weight_decay=0.1),
    "nadam": partial(optim.NAdam, lr=0.1),
    "radam": partial(optim.RAdam, lr=1.0),
    "adagrad": partial(optim.Adagrad, lr=0.3),
    "adadelta": partial(optim.Adadelta, lr=100.0),
    "adamax": partial(optim.Adamax, lr=0.2),
    "asgd": partial(optim.ASGD, lr=2.0),
    "rprop": partial(optim.Rprop, lr=0.1),
}
DELTA = 0.2


@pytest.fixture(scope="module")
def case(digits_test: tuple[Tensor, Tensor], digits_mlp: nn.Module, copied: Any) -> tuple[Tensor, Tensor, nn.Module]:
    x, y = (part[:8] for part in digits_test)
    return x.double(), y, copied(digits_mlp).double()


def by_torch(make: OptimiserFactory, net: nn.Module, x: Tensor, y: Tensor, steps: int) -> list[Tensor]:
    """One sample, one lasting optimiser: the image before each step and after the last."""
    lo, hi = (x - DELTA).clamp_min(0), (x + DELTA).clamp_max(1)
    r = torch.zeros_like(x, requires_grad=True)
    optimiser, path = make([r]), []
    for _ in range(steps):
        image = (lo + hi) / 2 + (hi - lo) / 2 * r.tanh()
        path.append(image.detach())
        optimiser.zero_grad()
        (-nn.functional.cross_entropy(net(image), y)).backward()
        optimiser.step()
    return [*path, ((lo + hi) / 2 + (hi - lo) / 2 * r.tanh()).detach()]


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_torch_optimisers(name: str, case: tuple[Tensor, Tensor, nn.Module]) -> None:
    """stop="never" ends where torch ends; stop="first" drops rows at different steps, each at its first success."""
    x, y, net = case
    attack = CIA(Linf(DELTA), steps=12, optimiser=MAKERS[name])
    threat = BoundThreat(net, levels=None)
    whole = iterate(attack, Oracle.open(threat, x, y), stop="never", keep="last")
    dropped = attack.run(Oracle.open(threat, x, y))
    for i in range(len(x)):
        path = by_torch(MAKERS[name], net, x[i : i + 1], y[i : i + 1], 12)
        torch.testing.assert_close(whole.crafted[i : i + 1], path[-1], atol=1e-9, rtol=0)
        hits = [t for t, image in enumerate(path) if bool(net(image).argmax(1) != y[i])]
        assert bool(dropped.success[i]) == bool(hits)
        first = path[hits[0]] if hits else path[-1]
        torch.testing.assert_close(dropped.crafted[i : i + 1], first, atol=1e-9, rtol=0)
    assert len(set(dropped.backwards.tolist())) > 2, "no rows were dropped midway"


@pytest.mark.parametrize(("beta1", "beta2"), [(0.1, 0.6), (0.9, 0.999), (0.0, 0.5)])
def test_our_adam_is_torch_adam(beta1: float, beta2: float) -> None:
    z = torch.linspace(-1, 1, 12, dtype=torch.float64).view(3, 4)
    p = z.clone().requires_grad_(True)
    theirs, ours = optim.Adam([p], lr=0.3, betas=(beta1, beta2)), Adam(0.3, beta1, beta2)
    memory = ours.begin(z)
    for t in range(6):
        slope = torch.cos((t + 2) * z) * 10.0 ** (2 - t)
        slope[0, 0] = 0
        p.grad = -slope
        theirs.step()
        z, memory = ours.climb(z, slope, memory, t)
        torch.testing.assert_close(z, p.detach(), rtol=1e-12, atol=1e-12)


class Normed(optim.Optimizer):
    """Divides by the norm of the whole gradient."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for p in self.param_groups[0]["params"]:
            p -= p.grad / p.grad.norm()


class Noisy(Normed):
    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for p in self.param_groups[0]["params"]:
            p -= torch.rand_like(p)


class Forgetful(Normed):
    """Keeps its step count outside its state, so that it cannot be made anew."""

    count = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        self.count += 1
        for p in self.param_groups[0]["params"]:
            p -= p.grad / self.count


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (optim.LBFGS, "without a closure, got LBFGS"),
        (partial(optim.Adafactor, lr=0.1), "steps every component on its own.*got Adafactor"),
        (Normed, "steps every component on its own.*got Normed"),
        (Forgetful, "steps every component on its own.*got Forgetful"),
        (lambda parameters: parameters[0], "a function of \\[parameters\\] that returns a torch optimiser, got Tensor"),
    ],
)
def test_optimisers_that_do_not_fit(make: Any, message: str, case: tuple[Tensor, Tensor, nn.Module]) -> None:
    x, y, net = case
    for images in (x, x.flatten(1)):
        with pytest.raises(ContractError, match=message) as refusal:
            CIA(optimiser=make).run(Oracle.open(BoundThreat(net, levels=None), images, y))
        assert "\n" not in str(refusal.value)


def test_an_optimiser_that_draws(case: tuple[Tensor, Tensor, nn.Module]) -> None:
    x, y, net = case
    with torch.random.fork_rng(), pytest.raises(ContractError, match="draws random numbers"):
        CIA(optimiser=Noisy).run(Oracle.open(BoundThreat(net, levels=None), x, y))
