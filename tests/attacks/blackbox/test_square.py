"""Square against brute force, its own budget, its query count, its batch mates and the original implementation."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vauban import attacks, threats
from vauban.attacks.blackbox.square import Square
from vauban.attacks.parts.square_patterns import humps
from vauban.core.errors import AccessError, ContractError
from vauban.core.goals import Targeted
from vauban.core.losses import margin
from vauban.core.norms import L1, L2, Ball, Linf
from vauban.core.rng import seeded
from vauban.engine import Oracle, iterate


def linear(features: int, classes: int = 3, dtype: torch.dtype = torch.float64, bias: float = 0.0) -> nn.Module:
    with seeded("tests", "square"):
        net = nn.Sequential(nn.Flatten(), nn.Linear(features, classes)).to(dtype)
    with torch.no_grad():
        net[1].bias.zero_()
        net[1].bias[0] += bias
    return net


def images(n: int, *shape: int, dtype: torch.dtype = torch.float64, levels: int | None = None) -> Tensor:
    x = torch.rand(n, *shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return x if levels is None else (x * (levels - 1)).round() / (levels - 1)


def door(net: nn.Module, x: Tensor, y: Tensor, levels: int | None = None, **kwargs: object) -> Oracle:
    return Oracle.open(
        threats.scores_only().bind(net, levels=levels, budget=kwargs.pop("budget", None)), x, y, **kwargs
    )


def test_linf_reaches_the_best_corner_of_a_2x2_image() -> None:
    net = linear(4, 2, bias=50)  # never fooled, so the search runs to its end
    x, y = images(8, 1, 2, 2), torch.zeros(8, dtype=torch.int64)
    oracle = door(net, x, y)
    attack = Square(Linf(0.3), steps=120)
    final = {}
    iterate(attack, oracle, callback=lambda t, view, state: final.update(state=state))
    corners = [
        (x + 0.3 * torch.tensor(s, dtype=x.dtype).view(1, 2, 2)).clamp(0, 1)
        for s in itertools.product((-1, 1), repeat=4)
    ]
    best = torch.stack([margin(net(c), oracle.goal) for c in corners]).amax(0)
    torch.testing.assert_close(final["state"].loss, best)
    torch.testing.assert_close(margin(net(final["state"].x.clamp(0, 1)), oracle.goal), best)


@pytest.mark.slow
def test_l2_comes_close_to_the_closed_form_of_a_linear_model() -> None:
    net = linear(64, 2, bias=50)
    x, y = 0.4 + 0.2 * images(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64)  # far from 0 and 1: nothing is clipped
    oracle = door(net, x, y)
    attack = Square(L2(0.2), steps=600)
    final = {}
    iterate(attack, oracle, callback=lambda t, view, state: final.update(state=state))
    w = net[1].weight[1] - net[1].weight[0]
    gain = final["state"].loss - margin(net(x), oracle.goal)
    assert (gain <= 0.2 * w.norm() + 1e-9).all()
    assert (gain >= 0.6 * 0.2 * w.norm()).all()


@pytest.mark.slow
@given(
    norm=st.sampled_from([Linf, L2]),
    eps=st.floats(0.01, 1.5),
    levels=st.sampled_from([None, 256, 4]),
    shape=st.sampled_from([(1, 2, 2), (3, 7, 5), (1, 1, 9), (2, 12, 12)]),
    seed=st.integers(0, 99),
)
def test_every_query_is_inside_the_ball_and_the_box(
    norm: object, eps: float, levels: int | None, shape: tuple[int, ...], seed: int
) -> None:
    seen: list[Tensor] = []

    class Spy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return torch.stack([x.flatten(1).sum(1) + 100, x.flatten(1)[:, 0]], 1)

    x = images(3, *shape, levels=levels)
    oracle = door(Spy(), x, torch.zeros(3, dtype=torch.int64), levels, seed=seed)
    Square(norm(eps), steps=25).run(oracle)
    ball = norm(eps).bind(x)
    assert len(seen) == 27  # the door's probe, 25 steps, the closing check
    for image in seen[1:]:
        assert ball.contains(image, x).all()
        assert (image >= 0).all()
        assert (image <= 1).all()
        if levels is not None:
            torch.testing.assert_close(image * (levels - 1), (image * (levels - 1)).round())
    if norm is L2 and levels is None and eps < 0.05:  # the budget is used, not only respected
        assert max(float((image - x).flatten(1).norm(dim=1).max()) for image in seen[1:]) > 0.9 * eps


@pytest.mark.parametrize("ball", [Linf(0.1), L2(0.7)])
def test_one_query_per_step_and_none_after_the_first_success(
    ball: Ball, digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]
) -> None:
    x, y = digits_test[0][:60], digits_test[1][:60]
    calls = torch.full((60,), -1)
    oracle = door(digits_cnn, x, y, 256)

    def watch(t: int, view: Oracle, state: object) -> None:
        calls[view._row[view.succeeded]] = t + 1

    result = iterate(Square(ball, steps=60), oracle, callback=watch)
    won = result.success
    assert won.any()
    assert (~won).any()
    torch.testing.assert_close(result.forwards[won], calls[won])
    assert (result.forwards[~won] == 61).all()  # and the closing check
    assert (result.backwards == 0).all()
    assert ball.bind(x).contains(result.adversarial, x).all()
    assert (digits_cnn(result.adversarial).argmax(1)[won] != y[won]).all()
    assert torch.equal(result.adversarial[~won], x[~won])


@pytest.mark.slow
@pytest.mark.parametrize("norm", [Linf, L2])
@pytest.mark.parametrize("levels", [None, 256])
def test_a_sample_walks_alike_in_a_batch_and_alone(norm: object, levels: int | None) -> None:
    net = linear(2 * 6 * 5, bias=9)
    x, y = images(6, 2, 6, 5, levels=levels), torch.zeros(6, dtype=torch.int64)
    ids = torch.arange(40, 46)
    attack = Square(norm(0.4), steps=40)
    paths: dict[int, list[Tensor]] = {}
    for rows in ([0, 1, 2, 3, 4, 5], [5, 2], *([k] for k in range(6))):

        def watch(t: int, view: Oracle, state: object) -> None:
            for i, row in zip(view.rng.ids.tolist(), state.x, strict=True):
                paths.setdefault(i, []).append(row)

        start = {i: len(paths.get(i, [])) for i in ids.tolist()}
        iterate(attack, door(net, x[rows], y[rows], levels, ids=ids[rows]), callback=watch)
        for i in ids[rows].tolist():
            mine, first = paths[i][start[i] :], paths[i][:40]
            assert len(mine) == 40
            assert all(torch.equal(a, b) for a, b in zip(mine, first, strict=True))
    assert not torch.equal(paths[40][-1] - x[0], paths[41][-1] - x[1])  # squares of their own


def test_targeted_reaches_the_given_class(digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]) -> None:
    x, y = digits_test[0][:20], digits_test[1][:20]
    target = (y + 1) % 10
    result = Square(Linf(0.4), steps=300).run(door(digits_cnn, x, y, 256, goal=Targeted(target)))
    assert result.success.float().mean() > 0.5
    assert (digits_cnn(result.adversarial).argmax(1)[result.success] == target[result.success]).all()


def test_vectors_are_one_row_in_linf_and_refused_in_l2(
    digits_mlp: nn.Module, digits_test: tuple[Tensor, Tensor]
) -> None:
    x, y = digits_test[0][:40].flatten(1), digits_test[1][:40]
    result = Square(Linf(0.25), steps=200).run(door(digits_mlp, x, y, 256))
    assert result.success.float().mean() > 0.6
    assert Linf(0.25).bind(x).contains(result.adversarial, x).all()
    with pytest.raises(ContractError, match="vectors"):
        Square(L2(1.0), steps=5).run(door(digits_mlp, x, y, 256))


def test_a_masked_pixel_never_changes(digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]) -> None:
    x, y = digits_test[0][:5], digits_test[1][:5]
    mask = torch.ones(1, 8, 8, dtype=torch.bool)
    mask[:, :4] = False
    for ball in (Linf(0.3), L2(1.5)):
        crafted = Square(ball, steps=20).run(door(digits_cnn, x, y, 256, mask=mask)).crafted
        assert torch.equal(crafted[:, :, :4], x[:, :, :4])
        assert not torch.equal(crafted, x)


def test_the_query_budget_of_the_threat_ends_the_run_with_what_it_has() -> None:
    net = linear(16, bias=50)
    x = images(3, 1, 4, 4)
    attack, final = Square(Linf(0.1), steps=50), {}
    oracle = door(net, x, torch.zeros(3, dtype=torch.int64), budget=20)
    result = iterate(attack, oracle, callback=lambda t, view, state: final.update(state=state, t=t))
    assert final["t"] == 19
    assert (result.forwards == 20).all()
    torch.testing.assert_close(result.crafted, final["state"].x)


def test_scores_are_needed(digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]) -> None:
    oracle = Oracle.open(threats.labels_only().bind(digits_cnn, levels=256), digits_test[0][:2], digits_test[1][:2])
    with pytest.raises(AccessError, match="does not grant scores"):
        Square(steps=3).run(oracle)


def test_the_share_is_halved_where_the_paper_says() -> None:
    attack = Square(p=0.8, steps=20_000)  # every threshold is at twice the paper's iteration
    edges = [0, 20, 100, 400, 1000, 2000, 4000, 8000, 12_000, 16_000]
    for k, edge in enumerate(edges):
        assert attack.share(edge + 1) == pytest.approx(0.8 / 2**k)
        assert attack.share(edge) == pytest.approx(0.8 / 2 ** max(k - 1, 0))


def test_the_halvings_move_with_the_queries_only_where_they_are_rescaled() -> None:
    """pyautoattack's `p_selection` at 5000 queries: its battery has resc_schedule=False, which ends at p / 128."""
    fewer, fixed = attacks.Square(steps=5000), attacks.Square(steps=5000, rescaled=False)
    assert [fewer.share(t) * 512 / 0.8 for t in (5, 6, 1001, 4001, 4999)] == pytest.approx([512, 256, 8, 1, 1])
    assert [fixed.share(t) * 512 / 0.8 for t in (10, 11, 1001, 4001, 4999)] == pytest.approx([512, 256, 16, 4, 4])
    assert not attacks.AutoAttack().members[-1].rescaled


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 9])
def test_humps_are_two_opposite_pyramids_of_unit_norm(side: int) -> None:
    shape = humps(side, torch.float64, torch.device("cpu"))
    top = side // 2
    assert float(shape.norm()) == pytest.approx(1)
    assert (shape[:top] > 0).all()
    assert (shape[top:] < 0).all()
    if side == 5:  # by hand: rings of 1 + 1/4 + 1/9, 1/4 + 1/9 and 1/9 around (1, 2) of the upper 2 x 5 rectangle
        a, b, c = 1 + 1 / 4 + 1 / 9, 1 / 4 + 1 / 9, 1 / 9
        upper = torch.tensor([[c, b, b, b, c], [c, b, a, b, c]], dtype=torch.float64)
        torch.testing.assert_close(shape[:2], upper / upper.norm() / 2**0.5)


def test_bad_parameters_are_refused_in_one_line() -> None:
    for build in (lambda: Square(L1(3.0)), lambda: Square(p=0), lambda: Square(p=1.5), lambda: Square(steps=0)):
        with pytest.raises(ContractError) as error:
            build()
        assert "\n" not in str(error.value)


def test_registered_with_its_facts() -> None:
    entry = attacks.registry.get("square")
    assert entry.make is Square
    assert entry.facts["needs"] == "scores"
    assert entry.facts["norms"] == ("linf", "l2")
    assert entry.facts["targeted"] is True


@pytest.mark.peers
@pytest.mark.parametrize(("ball", "name"), [(Linf(0.15), "Linf"), (L2(0.75), "L2")])
def test_as_strong_as_pyautoattack_at_equal_queries(
    ball: Ball, name: str, digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]
) -> None:
    square = pytest.importorskip("pyautoattack.square")
    x, y = digits_test[0][:200], digits_test[1][:200]
    keep = digits_cnn(x).argmax(1) == y
    x, y, queries = x[keep], y[keep], 300
    ours = 1 - Square(ball, steps=queries).run(door(digits_cnn, x, y)).success.float().mean()
    with torch.random.fork_rng(), torch.no_grad():
        peer = square.SquareAttack(digits_cnn, norm=name, n_queries=queries, eps=ball.radius, device="cpu")
        theirs = (digits_cnn(peer.perturb(x, y)).argmax(1) == y).float().mean()
    print(f"robust accuracy {name}: vauban {float(ours):.3f}, pyautoattack {float(theirs):.3f}")
    assert ours <= theirs + 0.03
