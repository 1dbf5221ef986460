"""The geometry of boundary projection: what each case of algorithm 2 promises."""

from __future__ import annotations

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from vauban.attacks.minimal.bp import BP, BPState, inward, outward
from vauban.core.losses import margin
from vauban.core.norms import L2
from vauban.core.pixel_grid import on_grid
from vauban.core.tensors import dot, like, unit
from vauban.engine import BoundThreat, Oracle, iterate


def draw(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    x, y, u = (torch.randn(8, 3, 4, 4, generator=g, dtype=torch.float64) for _ in range(3))
    return x, y, unit(u)


def placed(r: torch.Tensor, u: torch.Tensor, eps: torch.Tensor, retreat: bool = False) -> torch.Tensor:
    """z - x of case OUT."""
    along, share = outward(dot(r, u), L2.size(r), eps, retreat)
    return like(along, r) * u + like(share, r) * r


@given(st.integers(0, 10**6), st.floats(0.1, 0.99))
def test_out_keeps_the_first_order_loss_and_reaches_the_distance(seed, gamma):
    x, y, u = draw(seed)
    size = L2.size(y - x)
    z = x + placed(y - x, u, gamma * size)
    torch.testing.assert_close(dot(z - y, u), torch.zeros(8, dtype=torch.float64), rtol=0, atol=1e-10)
    rho = dot(y - x, u).abs()
    torch.testing.assert_close(L2.size(z - x), torch.maximum(gamma * size, rho), rtol=1e-9, atol=0)


@given(st.integers(0, 10**6))
def test_out_stays_in_the_plane_of_x_y_and_u(seed):
    """And on the side of y: no point of the circle is nearer to y."""
    x, y, u = draw(seed)
    eps = torch.maximum(0.9 * L2.size(y - x), dot(y - x, u).abs())
    z = x + placed(y - x, u, eps)
    basis = torch.stack([(y - x).flatten(1), u.flatten(1)], 2)
    fit = basis @ torch.linalg.lstsq(basis, (z - x).flatten(1)[..., None]).solution
    torch.testing.assert_close(fit[..., 0], (z - x).flatten(1))
    v = x + dot(y - x, u)[:, None, None, None] * u
    assert (L2.size(z - y) <= L2.size(2 * v - z - y) + 1e-12).all()


@given(st.integers(0, 10**6), st.floats(0.3, 1.0))
def test_in_lands_on_the_sphere_along_the_gradient(seed, gamma):
    x, y, u = draw(seed)
    eps = L2.size(y - x) / gamma
    length = inward(dot(y - x, u), L2.size(y - x), eps)
    assert (length >= -1e-12).all()
    torch.testing.assert_close(L2.size(y + length[:, None, None, None] * u - x), eps)


@given(st.integers(0, 10**6), st.floats(0.1, 0.99))
def test_retreat_always_reaches_the_distance(seed, gamma):
    """Where the plane is too far, straight toward x."""
    x, y, u = draw(seed)
    y[:4] = x[:4] + 2 * u[:4]  # on the ray: the plane's nearest point is y itself
    eps = gamma * L2.size(y - x)
    torch.testing.assert_close(L2.size(placed(y - x, u, eps, retreat=True)), eps)


def walk(attack, net, x, y):
    path = []
    iterate(
        attack,
        Oracle.open(BoundThreat(net), x, y),
        callback=lambda t, oracle, state: path.append((state.x, state.crossed)),
    )
    return path


def test_every_iterate_is_on_the_grid_and_stage_two_is_never_left(digits_cnn, digits_test):
    x, y = (part[:32] for part in digits_test)
    path = walk(BP(20, state="quantised"), digits_cnn, x, y)
    assert all(on_grid(image, 256) for image, _ in path)
    for (_, before), (_, after) in pairwise(path):
        assert (after | ~before).all()


def test_case_by_case_on_a_network(digits_cnn, digits_test):
    """OUT brings the rounded image near the asked distance, IN moves it by nearly beta_min or more, stage 1 by alpha."""
    x, y = (part[:32] for part in digits_test)
    attack = BP(20, retreat=False, state="quantised")
    path = walk(attack, digits_cnn, x, y)
    seen = {"out": 0, "in": 0}
    for t in range(1, 20):
        (before, crossed), (after, _) = path[t - 1], path[t]
        gamma = 0.7 + t / 21 * 0.3
        with torch.no_grad():
            adversarial = digits_cnn(before).argmax(1) != y
        size = L2.size(before - x)
        out = adversarial & (size > 0)
        assert (L2.size(after - x)[out] <= size[out] + 1e-6).all()
        assert (L2.size(after - x)[out] >= gamma * size[out] - 0.15).all()
        back = ~adversarial & crossed
        assert (L2.size(after - x)[back] <= size[back] / gamma + 0.15).all()
        seen["out"] += int(out.sum())
        seen["in"] += int(back.sum())
    assert min(seen.values()) > 20


def test_line_search_comes_to_the_asked_distance(digits_cnn, digits_test):
    """Against a scan over 2000 values of b for the rounded image just inside the wanted distance."""
    x, y = (part[:16] for part in digits_test)
    oracle = Oracle.open(BoundThreat(digits_cnn), x, y)
    g = torch.Generator().manual_seed(0)
    start = oracle.domain.quantise(x + 0.05 * torch.randn(x.shape, generator=g))
    u = unit(torch.randn(x.shape, generator=g))
    z = x + placed(start - x, u, 0.9 * L2.size(start - x))
    r, d, wanted = start - x, z - start, L2.size(z - x)
    beta = BP()._search(oracle, start, d, dot(r, r), dot(r, z - x), wanted)
    found = oracle.domain.quantise(start + like(beta, x) * d)
    betas = torch.linspace(0, 1, 2001)
    scan = torch.stack([L2.size(oracle.domain.quantise(start + b * (z - start)) - x) for b in betas])
    best = torch.where(scan <= wanted, scan, -torch.inf).amax(0)
    assert (L2.size(found - x) <= wanted + 5e-4).all()
    assert (L2.size(found - x) >= best - 0.001).all()


def test_beta_min_lets_a_small_step_survive_rounding(digits_cnn, digits_test):
    x, y = (part[:4] for part in digits_test)
    oracle = Oracle.open(BoundThreat(digits_cnn), x, y)
    inside = torch.full_like(x, 128 / 255)
    u = unit(torch.ones_like(x) - 2 * (inside < x))  # away from the original
    failed = torch.nn.functional.one_hot(y, 10).to(x.dtype)
    state = BPState(inside, torch.ones(4, dtype=torch.bool))

    def step(attack: BP) -> torch.Tensor:
        """The last one, at gamma = 0.9999."""
        return attack.move(oracle, state, attack.steps, failed, u).x - inside

    assert not step(BP(gamma_min=0.9980, state="quantised", search=False)).any()
    moved = step(BP(gamma_min=0.9980, state="quantised"))
    torch.testing.assert_close(moved, 3 / 255 * u.sign())  # 0.1 / 8 is 3.19 levels


def test_as_printed_a_linear_network_stalls_and_retreat_does_not(make_linear):
    case = make_linear(2, 0.3)
    threat = BoundThreat(case.net, levels=None)
    printed = BP(60, loss=margin, retreat=False).run(Oracle.open(threat, case.x, case.y))
    ours = BP(60, loss=margin).run(Oracle.open(threat, case.x, case.y))
    assert (printed.distance > 3 * case.nearest(L2)).any()
    assert (ours.distance < 1.05 * case.nearest(L2)).all()


def test_a_free_state_remembers_what_is_less_than_half_a_level(make_linear):
    """A gradient spread over 1024 pixels: a step that each rounding loses adds up in a state that is never rounded."""
    case = make_linear(2, 0.05, side=32)
    x = (case.x * 255).round() / 255
    threat = BoundThreat(case.net)
    free, each = BP(60, state="free"), BP(60, state="quantised", search=False)
    kept, lost = (attack.run(Oracle.open(threat, x, case.y)) for attack in (free, each))
    assert on_grid(kept.crafted, 256)
    assert (kept.rate == 1).all()
    assert kept.distance.mean() < lost.distance.mean()
    assert not all(on_grid(image, 256) for image, _ in walk(free, case.net, x, case.y))
