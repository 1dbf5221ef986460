"""CIA against closed forms, an independent loop of autograd and torch.optim.Adam, and its promise to stay inside."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vauban import attacks
from vauban.attacks.fixed_budget.cia import CIA
from vauban.core.coordinates import CURVES
from vauban.core.errors import AccessError, ContractError, UnknownName
from vauban.core.goals import Targeted, Untargeted
from vauban.core.losses import cross_entropy, margin
from vauban.core.norms import L2, Linf
from vauban.core.pixel_grid import on_grid
from vauban.core.tensors import like
from vauban.engine import Bisection, BoundThreat, Oracle, iterate

GOALS = {"targeted": True, "untargeted": False}
PLAIN = {"tanh": torch.tanh, "sigmoid": lambda r: 2 * (torch.sigmoid(r) - 0.5), "sin": torch.sin}


@pytest.fixture(scope="module")
def case(digits_test: tuple[Tensor, Tensor], digits_mlp: nn.Module, copied: Any) -> tuple[Tensor, Tensor, nn.Module]:
    x, y = (part[:6] for part in digits_test)
    return x.double(), y, copied(digits_mlp).double()


def paper(attack: CIA, threat: BoundThreat, x: Tensor, y: Tensor, goal: Any = None, **options: Any) -> Tensor:
    """The paper's protocol: every image to the end, the last one handed over."""
    return iterate(attack, Oracle.open(threat, x, y, goal, **options), stop="never", keep="last").crafted


def written_out(
    net: nn.Module,
    x: Tensor,
    label: Tensor,
    delta: Tensor,
    steps: int,
    targeted: bool,
    curve: str = "tanh",
    low: float = 0.0,
    high: float = 1.0,
) -> Tensor:
    """Equations (1)-(3) with torch's own Adam, nothing shared with the package."""
    lo = torch.maximum(torch.full_like(x, low), x - delta)
    hi = torch.minimum(torch.full_like(x, high), x + delta)
    centre, width = (lo + hi) / 2, (hi - lo) / 2
    r = torch.zeros_like(x, requires_grad=True)
    adam = torch.optim.Adam([r], lr=0.2, betas=(0.1, 0.6))
    for _ in range(steps):
        adam.zero_grad()
        loss = nn.functional.cross_entropy(net(centre + width * PLAIN[curve](r)), label, reduction="sum")
        (loss if targeted else -loss).backward()
        adam.step()
    return (centre + width * PLAIN[curve](r)).detach()


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("kind", GOALS)
def test_the_paper_written_out(kind: str, curve: str, case: tuple[Tensor, Tensor, nn.Module]) -> None:
    x, y, net = case
    label = (y + 3) % 10 if GOALS[kind] else y
    goal = Targeted(label) if GOALS[kind] else Untargeted()
    found = paper(CIA(Linf(0.1), curve=curve), BoundThreat(net, levels=None), x, y, goal)
    want = written_out(net, x, label, torch.tensor(0.1), 20, GOALS[kind], curve)
    torch.testing.assert_close(found, want, atol=1e-5, rtol=0)
    assert (found - x).abs().max() > 0.09, "hardly a step was made"


def test_per_sample_and_per_component_radii_and_a_domain(case: tuple[Tensor, Tensor, nn.Module]) -> None:
    x, y, net = case
    x = 0.2 + 0.5 * x
    per_component = torch.linspace(0, 0.4, 64, dtype=x.dtype).view(1, 8, 8)
    per_sample = torch.linspace(0, 0.4, 6, dtype=x.dtype)
    for given_radius, delta in ((per_component[None], per_component), (per_sample, like(per_sample, x))):
        attack = CIA(Linf(given_radius), low=0.1, high=0.75)
        found = paper(attack, BoundThreat(net, levels=None), x, y)
        want = written_out(net, x, y, delta, 20, False, low=0.1, high=0.75)
        torch.testing.assert_close(found, want, atol=1e-5, rtol=0)
        assert found.min() >= 0.1
        assert found.max() <= 0.75
        assert torch.equal(found[(delta == 0).expand_as(x)], x[(delta == 0).expand_as(x)])


def test_the_printed_cases() -> None:
    """Centre and half-width by hand: (a) nothing cut, (b) cut below, (c) cut above; and both, and the edges."""
    alpha, beta, delta = 0.125, 0.875, 0.25
    x = torch.tensor([[0.5, 0.25, 0.75, 0.375, 0.125, 0.875]], dtype=torch.float64)
    net = nn.Linear(6, 2, dtype=torch.float64)
    oracle = Oracle.open(BoundThreat(net, levels=None), x, torch.tensor([0])).confined(Linf(delta))
    state = CIA(Linf(delta), low=alpha, high=beta).start(oracle)
    centre = state.interval.image(state.r)
    half = state.interval.image(torch.full_like(x, torch.inf)) - centre
    case_b = [(v + delta + alpha) / 2 for v in (0.25, 0.125)]
    case_c = [(v - delta + beta) / 2 for v in (0.75, 0.875)]
    assert centre.tolist() == [[0.5, case_b[0], case_c[0], 0.375, case_b[1], case_c[1]]]
    half_b = [(v + delta - alpha) / 2 for v in (0.25, 0.125)]  # printed with + alpha
    half_c = [(-v + delta + beta) / 2 for v in (0.75, 0.875)]
    assert half.tolist() == [[0.25, half_b[0], half_c[0], 0.25, half_b[1], half_c[1]]]
    wide = CIA(Linf(2.0), low=alpha, high=beta).start(oracle.confined(Linf(2.0)))
    assert torch.equal(wide.interval.image(wide.r), torch.full_like(x, 0.5))


@given(
    curve=st.sampled_from(sorted(CURVES)),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    radius=st.sampled_from([1 / 255, 4 / 255, 0.1, 0.3, 5.0]),
    lr=st.sampled_from([0.2, 30.0, 1e6]),
    levels=st.sampled_from([None, 256]),
    edges=st.sampled_from([(0.0, 1.0), (0.1, 0.913), (0.25, 0.5)]),
)
def test_no_image_is_ever_outside(
    curve: str, dtype: torch.dtype, radius: float, lr: float, levels: int | None, edges: tuple[float, float]
) -> None:
    low, high = (torch.tensor(edge, dtype=dtype) for edge in edges)
    x = (low * 255).ceil() + torch.arange(24, dtype=dtype).view(4, 6) * 29 % ((high * 255).floor() - (low * 255).ceil())
    x = x / 255
    net = nn.Linear(6, 3, dtype=dtype).requires_grad_(False)
    net.weight.copy_(torch.arange(18, dtype=dtype).view(3, 6).sin() * 5)
    net.bias.zero_()
    mask = torch.tensor([True, True, False, True, True, False])
    delta, seen = torch.tensor(radius, dtype=dtype), []

    class Spy(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.detach().clone())
            return net(images)  # type: ignore[no-any-return]

    attack = CIA(Linf(radius), steps=6, lr=lr, curve=curve, low=edges[0], high=edges[1])
    seen.append(paper(attack, BoundThreat(Spy(), levels=levels), x, torch.zeros(4, dtype=torch.int64), mask=mask))
    slack = 0.0 if levels is None else 2e-6  # a radius as a float stands for whole levels
    for image in seen[1:]:
        assert (image >= torch.maximum(low, x - delta) - slack).all()
        assert (image <= torch.minimum(high, x + delta) + slack).all()
        assert torch.equal(image[:, ~mask], x[:, ~mask])
        assert levels is None or on_grid(image, levels)
    assert (seen[-1] != x).any()


def test_the_end_of_the_first_success(digits_test: tuple[Tensor, Tensor], digits_cnn: nn.Module) -> None:
    x, y = (part[:32] for part in digits_test)
    default = CIA(Linf(0.2)).run(Oracle.open(BoundThreat(digits_cnn), x, y))
    paid = default.backwards
    assert default.success.any()
    assert (paid[default.success] <= 20).all()
    assert paid[default.success].min() < 20
    whole = iterate(CIA(Linf(0.2)), Oracle.open(BoundThreat(digits_cnn), x, y), stop="never", keep="last")
    assert (whole.backwards == 20).all()
    assert torch.equal(whole.success, default.success)


def test_the_loss_is_a_choice(case: tuple[Tensor, Tensor, nn.Module]) -> None:
    x, y, net = case
    ce, by_margin = (
        paper(CIA(Linf(0.1), loss=loss), BoundThreat(net, levels=None), x, y) for loss in (cross_entropy, margin)
    )
    assert not torch.allclose(ce, by_margin)
    assert CIA().loss is cross_entropy


def test_weighted_sources_are_a_weighted_loss(case: tuple[Tensor, Tensor, nn.Module], digits_cnn: nn.Module) -> None:
    """Equation (4) with weights 1 and 3, differentiated as one function."""
    x, y, net = case
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, dtype=torch.float64))
    target, delta = (y + 1) % 10, 0.1
    threat = BoundThreat(net, sources=((net, 1.0), (other, 3.0)), levels=None)
    found = paper(CIA(Linf(delta)), threat, x, y, Targeted(target))
    lo, hi = (x - delta).clamp_min(0), (x + delta).clamp_max(1)
    r = torch.zeros_like(x, requires_grad=True)
    adam = torch.optim.Adam([r], lr=0.2, betas=(0.1, 0.6))
    for _ in range(20):
        adam.zero_grad()
        image = (lo + hi) / 2 + (hi - lo) / 2 * r.tanh()
        parts = [nn.functional.cross_entropy(f(image), target, reduction="sum") for f in (net, other)]
        (parts[0] + 3 * parts[1]).backward()
        adam.step()
    torch.testing.assert_close(found, ((lo + hi) / 2 + (hi - lo) / 2 * r.tanh()).detach(), atol=1e-5, rtol=0)


def test_a_search_for_the_smallest_radius(digits_test: tuple[Tensor, Tensor], digits_cnn: nn.Module) -> None:
    x, y = (part[:8] for part in digits_test)
    found = Bisection(CIA(steps=10), "eps", 0.1, rounds=4, growth=2.0).run(Oracle.open(BoundThreat(digits_cnn), x, y))
    assert found.success.all()
    assert (found.distance <= 0.8 + 1e-6).all()


def test_bad_input(case: tuple[Tensor, Tensor, nn.Module]) -> None:
    x, y, net = case
    threat = BoundThreat(net, levels=None)
    with pytest.raises(ContractError, match=r"^expected images within \[low, high\] of cia, got others in sample 0$"):
        CIA(low=0.1).run(Oracle.open(threat, x, y))
    with pytest.raises(ContractError, match=r"^expected the radius of linf as a number of at least 0, got -0.1$"):
        CIA(Linf(-0.1))
    with pytest.raises(ContractError, match=r"^expected a mask that broadcasts to \(6, 1, 8, 8\), got \(3, 3\)$"):
        Oracle.open(threat, x, y, mask=torch.ones(3, 3))
    with pytest.raises(UnknownName, match=r"^unknown curve 'tan'; did you mean 'tanh'.*$"):
        CIA(curve="tan")
    with pytest.raises(ContractError, match=r"^expected a ball of linf for cia, got l2:1$"):
        CIA(L2(1.0))
    with pytest.raises(ContractError, match=r"^expected low of CIA as a number of at least 0 .* or Tensor, got -3.0$"):
        CIA(low=-3.0)
    with pytest.raises(ContractError, match=r"^expected high in \[0, 1\].*$"):
        CIA(high=torch.tensor([1.0, 2.0]))
    with pytest.raises(ContractError, match=r"^expected low as a number or one value per feature \(1, 8, 8\).*$"):
        CIA(low=torch.zeros(6, 1, 8, 8)).run(Oracle.open(threat, x, y))
    with pytest.raises(ContractError, match=r"^expected optimiser of CIA as a function or none, got 'SGD'$"):
        CIA(optimiser="SGD")  # type: ignore[arg-type]
    with pytest.raises(AccessError, match="larger than the threat's limit"):
        CIA(Linf(0.2)).run(Oracle.open(BoundThreat(net, levels=None, limit=Linf(0.1)), x, y))


def test_by_name() -> None:
    assert attacks.CIA is CIA
    assert attacks.load("cia", eps=0.1, curve="sin").curve == "sin"
    assert CIA() == CIA(steps=20, lr=0.2, beta1=0.1, beta2=0.6)
    assert hash(CIA()) == hash(dataclasses.replace(CIA()))
