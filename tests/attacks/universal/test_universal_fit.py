"""Fitting: closed forms on a linear network, the paper's loop written plainly, passes, balls, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vauban.attacks import fitters
from vauban.attacks.universal.uap import Universal
from vauban.core.contracts import Batch
from vauban.core.errors import AccessError, ContractError
from vauban.core.goals import Targeted
from vauban.core.norms import L1, L2, Ball, Linf
from vauban.engine import BoundThreat

OVERSHOOT = 0.02
GAPS = torch.tensor([0.03, 0.11, 0.02, 0.07, 0.05, 0.09], dtype=torch.float64)  # distances to the boundary


class Halves(nn.Module):
    """Two classes: the second where <n, x - 1/2> > 0, n of unit length."""

    def __init__(self, n: Tensor) -> None:
        super().__init__()
        self.register_buffer("n", n)

    def forward(self, x: Tensor) -> Tensor:
        f = (x - 0.5).flatten(1) @ self.n.flatten()
        return torch.stack([torch.zeros_like(f), 7 * f], 1)


def linear(gaps: Tensor = GAPS) -> tuple[Halves, Batch, Tensor]:
    """The network, grey images that it puts in class 0 at distances `gaps` from the boundary, and n."""
    n = torch.linspace(-2, 3, 12, dtype=torch.float64).view(3, 2, 2)
    n = n / n.norm()
    x = 0.5 - gaps.view(-1, 1, 1, 1) * n
    return Halves(n), Batch(x, torch.ones(len(x), dtype=torch.int64), torch.arange(len(x)), None), n


def fit(fitter: Universal, net: nn.Module, *batches: Batch, levels: int | None = None, **options: Any) -> Any:
    return fitter.fit(BoundThreat(net, levels=levels), batches, **options)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [1, 3, 5, 0, 2, 4], [2, 0, 4, 3, 5, 1]])
def test_every_step_goes_to_the_boundary_of_a_linear_network(order: list[int]) -> None:
    """v = s n, where each image at a distance d > s makes s + (1 + overshoot)(d - s) of s."""
    net, batch, n = linear(GAPS[order])
    s = 0.0
    for d in GAPS[order].tolist():
        s += (1 + OVERSHOOT) * (d - s) if d > s else 0
    fitted = fit(Universal(L2(1.0), rate=1.0), net, batch)
    torch.testing.assert_close(fitted.attack.v, s * n, atol=1e-12, rtol=0)
    assert (fitted.rate, fitted.epochs, fitted.images) == (1.0, 1, 6)  # labels of the data are not those of the network


def test_the_farthest_image_first_is_enough() -> None:
    net, batch, n = linear(GAPS.sort(descending=True).values)
    fitted = fit(Universal(L2(1.0), rate=1.0), net, batch)
    torch.testing.assert_close(fitted.attack.v, (1 + OVERSHOOT) * GAPS.max() * n, atol=1e-12, rtol=0)
    targeted = fit(Universal(L2(1.0), rate=1.0), net, batch, goal=Targeted(1))
    torch.testing.assert_close(targeted.attack.v, fitted.attack.v)
    assert targeted.rate == 1.0


def test_images_together_add_the_mean_of_their_steps() -> None:
    net, batch, n = linear()
    fitted = fit(Universal(L2(1.0), batch=6, epochs=1), net, batch)
    torch.testing.assert_close(fitted.attack.v, (1 + OVERSHOOT) * GAPS.mean() * n, atol=1e-12, rtol=0)
    assert fitted.rate == float((GAPS.mean() * (1 + OVERSHOOT) > GAPS).double().mean())


@pytest.mark.parametrize(("ball", "rate"), [(L2(0.06), 0.5), (L2(0.01), 0.0), (Linf(1.0), 1.0)])
def test_fools_all_images_where_the_ball_allows_it(ball: Ball, rate: float) -> None:
    net, batch, n = linear()
    fitted = fit(Universal(ball, rate=1.0, epochs=3), net, batch)
    assert fitted.rate == rate
    assert fitted.epochs == (1 if rate == 1 else 3)
    if ball.norm is L2:  # on the sphere, along n
        torch.testing.assert_close(fitted.attack.v, ball.radius * n, atol=1e-12, rtol=0)


def test_a_box_cuts_the_step() -> None:
    net, batch, n = linear(GAPS[1:2])
    fitted = fit(Universal(Linf(0.02), epochs=1), net, batch)
    torch.testing.assert_close(fitted.attack.v, ((1 + OVERSHOOT) * 0.11 * n).clamp(-0.02, 0.02), atol=1e-12, rtol=0)


def nearest(net: nn.Module, at: Tensor, label: int, steps: int, classes: int) -> Tensor | None:
    """DeepFool from one image, one class at a time."""
    ranked = [int(k) for k in net(at[None])[0].argsort(descending=True) if int(k) != label][: classes - 1]
    r, x = torch.zeros_like(at), at
    for _ in range(steps):
        leaf = x.clone().requires_grad_(True)
        z = net(leaf[None])[0]
        if int(z.argmax()) != label:
            return x - at
        steps_to = []
        for k in ranked:
            (w,) = torch.autograd.grad(z[k] - z[label], leaf, retain_graph=True)
            steps_to.append(((z[label] - z[k]).item() / w.norm().item(), w))
        length, w = min(steps_to, key=lambda pair: pair[0])
        r = r + max(length, 1e-5) * w / w.norm()
        x = (at + (1 + OVERSHOOT) * r).clamp(0, 1)
    return x - at if int(net(x[None]).argmax()) != label else None


def plainly(net: nn.Module, images: Tensor, fitter: Universal) -> tuple[Tensor, list[float]]:
    """Algorithm 1, one image after the other."""
    eps = float(fitter.ball.radius)
    labels = [int(net(x[None]).argmax()) for x in images]
    v, rates = torch.zeros_like(images[0]), []
    for _ in range(fitter.epochs):
        for x, label in zip(images, labels, strict=True):
            at = (x + v).clamp(0, 1)
            if int(net(at[None]).argmax()) == label:
                step = nearest(net, at, label, fitter.steps, fitter.classes)
                if step is not None:
                    v = v + step
                    v = v.clamp(-eps, eps) if fitter.ball.norm is Linf else v * min(1.0, eps / v.norm().item())
        fooled = [int(net((x + v).clamp(0, 1)[None]).argmax()) != k for x, k in zip(images, labels, strict=True)]
        rates.append(sum(fooled) / len(fooled))
        if rates[-1] >= fitter.rate:
            break
    return v, rates


@pytest.mark.slow
@pytest.mark.parametrize("ball", [Linf(0.3), L2(2.0)], ids=str)
def test_one_image_at_a_time_is_the_algorithm_of_the_paper(
    ball: Ball, digits_test: tuple[Tensor, Tensor], digits_cnn: nn.Module, copied: Callable[[nn.Module], nn.Module]
) -> None:
    """However the images are divided into batches; steps=3 leaves some of them on their side of the boundary."""
    net, (x, y) = copied(digits_cnn).double(), digits_test
    x, y, ids = x[:14].double(), y[:14], torch.arange(14)
    fitter = Universal(ball, rate=0.7, epochs=3, steps=3, classes=4)
    v, rates = plainly(net, x, fitter)
    assert float(v.abs().max()) > 0.01
    told: list[float] = []
    for parts in ([14], [5, 9], [1] * 14):
        batches = [Batch(*rows, levels=None) for rows in zip(*(a.split(parts) for a in (x, y, ids)), strict=True)]
        told.clear()
        fitted = fit(fitter, net, *batches, callback=lambda images, rate: told.append(rate))
        torch.testing.assert_close(fitted.attack.v, v, atol=1e-9, rtol=0)
        assert told == pytest.approx(rates)
        assert (fitted.rate, fitted.epochs) == (told[-1], len(rates))


class Tally(nn.Module):
    """Counts images forwards and, at the logits, backwards."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.forwards, self.backwards = inner, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        logits: Tensor = self.inner(x)
        if logits.requires_grad:
            logits.register_hook(self._back)
        return logits

    def _back(self, g: Tensor) -> None:
        self.backwards += len(g)


@pytest.mark.parametrize("batch", [1, 4])
def test_passes_counted_are_passes_made(
    batch: int, digits_test: tuple[Tensor, Tensor], digits_cnn: nn.Module, copied: Callable[[nn.Module], nn.Module]
) -> None:
    """But for the one image per network that a door asks for, uncounted, when it is opened."""
    net, (x, y) = Tally(copied(digits_cnn)), digits_test
    batches = [Batch(x[i : i + 5], y[i : i + 5], torch.arange(5)) for i in (0, 5)]
    fitted = fit(Universal(epochs=2, steps=3, classes=3, batch=batch), net, *batches)
    opened = 2 * 2 * fitted.epochs
    assert (fitted.forwards, fitted.backwards) == (net.forwards - opened, net.backwards)
    assert fitted.images == 10
    assert fitted.backwards > 0


@pytest.mark.slow
@pytest.mark.parametrize("levels", [None, 256])
@pytest.mark.parametrize("ball", [Linf(0.1), L2(0.7)], ids=str)
def test_stays_in_its_ball(
    ball: Ball, levels: int | None, digits_test: tuple[Tensor, Tensor], digits_cnn: nn.Module
) -> None:
    x, y = digits_test
    batch = Batch(x[:10], y[:10], torch.arange(10))
    v = fit(Universal(ball, epochs=2), digits_cnn, batch, levels=levels).attack.v
    assert v.shape == x.shape[1:]
    assert 0.5 * ball.radius < float(ball.norm.size(v[None])) <= ball.radius * (1 + 1e-6)


def test_registered_under_the_name_of_its_attack() -> None:
    assert fitters.get("universal").make is Universal
    assert fitters.names() == ["universal"]


COUNTS = (0, 1.0)
WRONG: dict[str, tuple[Any, ...]] = {
    "ball": (L1(1.0), Linf(torch.ones(2)), None),
    "rate": (0.0, -0.1, math.nextafter(1, 2)),
    "epochs": COUNTS,
    "steps": COUNTS,
    "batch": COUNTS,
    "classes": (1, 2.0),
    "overshoot": (-math.nextafter(0, 1),),
}


@pytest.mark.parametrize("field", WRONG)
def test_parameters_out_of_range(field: str) -> None:
    for wrong in (*WRONG[field], math.nan, math.inf, "3", True):
        with pytest.raises(ContractError, match="expected") as error:
            Universal(**{field: wrong})
        assert "\n" not in str(error.value)


def test_parameters_at_the_ends_of_their_ranges() -> None:
    Universal(L2(1.0), rate=1, epochs=1, steps=1, classes=2, overshoot=0, batch=1)


def test_what_cannot_be_fitted() -> None:
    net, batch, _ = linear()
    with pytest.raises(ContractError, match="again"):
        Universal().fit(BoundThreat(net, levels=None), iter([batch]))
    with pytest.raises(ContractError, match="at least one batch"):
        Universal().fit(BoundThreat(net, levels=None), [])
    for threat in (BoundThreat(net, levels=None, budget=9), BoundThreat(net, levels=None, limit=Linf(1.0))):
        with pytest.raises(ContractError, match="budget and limit"):
            Universal().fit(threat, [batch])
    with pytest.raises(AccessError, match="labels"):
        Universal().fit(BoundThreat(net, levels=None, grants=frozenset({"gradients"})), [batch])
    wide = Batch(batch.x[:, :, :1, :], batch.y, batch.ids, None)
    with pytest.raises(ContractError, match="shape"):
        Universal().fit(BoundThreat(nn.Sequential(nn.AdaptiveAvgPool2d(2), net), levels=None), [batch, wide])
