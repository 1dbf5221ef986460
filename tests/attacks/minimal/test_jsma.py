"""JSMA against loops over all pairs of one sample, its limits, and the paper's rules for the search domain."""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vauban.attacks import load, registry
from vauban.attacks.minimal.jsma import JSMA
from vauban.attacks.parts import saliency_pairs as pairs
from vauban.attacks.parts.saliency_pairs import best_pair
from vauban.core.errors import ContractError
from vauban.core.goals import Targeted
from vauban.core.norms import L0
from vauban.engine import BoundThreat, Oracle, StopInside, iterate


def loops(a: list[float], b: list[float]) -> tuple[set[int], float]:
    """The best of all pairs, one after the other, and its value."""
    best, pair = 0.0, set()
    for p in range(len(a)):
        for q in range(p):
            alpha, beta = a[p] + a[q], b[p] + b[q]
            if alpha > 0 and beta > 0 and alpha * beta > best:
                best, pair = alpha * beta, {p, q}
    return pair, best


def gradients(kind: str, n: int, seed: int) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    a, b = torch.randn(5, n, generator=g), torch.randn(5, n, generator=g)
    if kind == "against":  # nearly every feature is on the front
        b = -a + 0.1 * b + 0.5
    elif kind == "along":
        b = a + 0.1 * b
    elif kind == "ties":
        a, b = (2 * a).round(), (2 * b).round()
    elif kind == "circle":
        angle = torch.rand(5, n, generator=g) * math.pi / 2
        a, b = angle.cos(), angle.sin()
    elif kind == "tiny":
        a, b = a * 1e-30, b * 1e-30
    elif kind == "holes":
        a = a.where(torch.rand(5, n, generator=g) < 0.5, -torch.inf)
        b = b.where(torch.rand(5, n, generator=g) < 0.9, torch.nan)
    return a, b


@pytest.mark.parametrize("kind", ["free", "against", "along", "ties", "circle", "tiny", "holes"])
@given(n=st.integers(1, 40), seed=st.integers(0, 10_000))
def test_the_best_pair_is_that_of_all_pairs(kind: str, n: int, seed: int) -> None:
    a, b = gradients(kind, n, seed)
    chosen, values = best_pair(a, b)
    for i in range(5):
        row, column = a[i].double().tolist(), b[i].double().tolist()
        pair, best = loops(row, column)
        assert float(values[i]) == best
        if best:
            p, q = chosen[i].tolist()
            assert p != q
            assert (row[p] + row[q]) * (column[p] + column[q]) == best
            if kind not in ("ties", "tiny"):
                assert {p, q} == pair


@pytest.mark.parametrize("kind", ["free", "ties", "tiny", "holes"])
@given(n=st.integers(1, 40), seed=st.integers(0, 10_000))
def test_a_map_paired_with_itself_has_the_value_of_all_pairs(kind: str, n: int, seed: int) -> None:
    a, _ = gradients(kind, n, seed)
    chosen, values = best_pair(a, a)
    whole = best_pair(a, a.clone())
    assert torch.equal(values, whole[1])
    for i in values.nonzero().flatten().tolist():
        p, q = chosen[i].tolist()
        assert p != q
        assert (a[i, p].double() + a[i, q].double()).square() == values[i]


def test_pairs_in_blocks_are_the_same_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = gradients("circle", 60, 3)
    whole = best_pair(a, b)
    monkeypatch.setattr(pairs, "PAIRS", 400)
    blocks = best_pair(a, b)
    assert torch.equal(whole[0], blocks[0])
    assert torch.equal(whole[1], blocks[1])


def reference(net: nn.Module, x0: Tensor, target: int, theta: float, gamma: float, softmax: bool) -> list[Tensor]:
    """The iterates of one sample `(features,)`: algorithms 2 and 3 with an explicit domain and a Jacobian by class."""
    x, path, n = x0.clone(), [x0.clone()], x0.numel()
    domain = {i for i in range(n) if (x[i] < 1 if theta > 0 else x[i] > 0)}
    changed: set[int] = set()
    while int(net(x[None]).argmax()) != target:
        leaf = x.clone().requires_grad_(True)
        out = net(leaf[None])[0]
        out = out.softmax(0) if softmax else out
        jacobian = [torch.autograd.grad(out[k], leaf, retain_graph=True)[0] for k in range(len(out))]
        mine = jacobian[target]
        others = sum(g for k, g in enumerate(jacobian) if k != target)
        usable = domain if len(changed) + 2 <= math.floor(gamma * n) else domain & changed
        sign = 1 if theta > 0 else -1
        a = [sign * float(mine[i]) if i in usable else -math.inf for i in range(n)]
        b = [-sign * float(others[i]) if i in usable else -math.inf for i in range(n)]
        pair, best = loops(a, b)
        if not best:
            break
        for i in pair:
            x[i] = (x[i] + theta).clamp(0, 1)
            changed.add(i)
            if x[i] in (0, 1):
                domain.discard(i)
        path.append(x.clone())
    return path


@pytest.mark.slow
@pytest.mark.parametrize("output", ["logits", "softmax"])
@pytest.mark.parametrize(("theta", "gamma"), [(1.0, 0.3), (0.2, 0.1), (-0.4, 0.3)])
def test_the_path_is_that_of_the_reference(theta, gamma, output, digits_mlp, digits_test):
    net = copy.deepcopy(digits_mlp).double()
    x, y = digits_test[0][:6].flatten(1).double(), digits_test[1][:6]
    target, path = (y + 3) % 10, [x.clone()]
    result = iterate(
        JSMA(60, theta, gamma, output, "one"),
        Oracle.open(BoundThreat(net, levels=None), x, y, Targeted(target)),
        stop="never",
        callback=lambda t, oracle, state: path.append(state.x),
    )
    lengths = set()
    for i in range(6):
        want = reference(net, x[i], int(target[i]), theta, gamma, output == "softmax")
        for t, here in enumerate(want):
            torch.testing.assert_close(path[t][i], here, rtol=0, atol=1e-12)
        reached = int(net(want[-1][None]).argmax()) == int(target[i])
        assert bool(result.success[i]) >= reached  # stop="never" goes on after the success of the reference
        lengths.add(len(want))
    assert len(lengths) > 2  # not all stopped at once


@pytest.mark.parametrize("theta", [1.0, -1.0, 0.3])
@pytest.mark.parametrize("gamma", [0.1, 0.25])
def test_gamma_is_kept_at_every_step(theta, gamma, digits_cnn, digits_test):
    x, y = (part[:16] for part in digits_test)
    sizes = []
    iterate(
        JSMA(40, theta, gamma),
        Oracle.open(BoundThreat(digits_cnn), x, y, Targeted((y + 1) % 10)),
        stop="never",
        callback=lambda t, oracle, state: sizes.append(L0.size(state.x - x)),
    )
    most = math.floor(gamma * 64)
    assert torch.stack(sizes).amax() in (most, most - 1)  # reached, and never passed


def test_features_that_saturate_leave_and_samples_without_a_pair_cost_nothing(digits_cnn, digits_test):
    x, y = (part[:16] for part in digits_test)
    states = []
    result = iterate(
        JSMA(60, 1.0, 1.0, "logits", "one"),
        Oracle.open(BoundThreat(digits_cnn), x, y, Targeted((y + 1) % 10)),
        stop="never",
        callback=lambda t, oracle, state: states.append(state),
    )
    for before, after in pairwise(states):
        moved = (before.x != after.x).flatten(1)
        assert (before.x.flatten(1)[moved] < 1).all()
        assert (after.x.flatten(1)[moved] == 1).all()
        assert torch.equal(moved.sum(1) == 2, before.open & (moved.sum(1) > 0))
    assert not states[-1].open.all()
    steps = 1 + torch.stack([state.open for state in states[:-1]]).sum(0)
    assert torch.equal(result.backwards, 2 * steps)
    assert torch.equal(result.forwards, steps + 1)


@pytest.mark.parametrize(("output", "backwards"), [("logits", 2), ("softmax", 1)])
def test_passes_per_step(output, backwards, digits_cnn, digits_test):
    x, y = (part[:8] for part in digits_test)
    attack = JSMA(3, 0.1, 1.0, output)
    result = iterate(attack, Oracle.open(BoundThreat(digits_cnn), x, y), stop="never")
    assert result.backwards.max() == 3 * backwards == attack.passes[1]
    assert result.forwards.max() == 5 == attack.passes[0]


@pytest.mark.parametrize(
    ("output", "signs", "least"), [("logits", "one", 0.6), ("logits", "both", 0.95), ("softmax", "both", 0.95)]
)
def test_targets_are_reached(output, signs, least, digits_cnn, digits_test):
    x, y = (part[:64] for part in digits_test)
    target = (y + 1) % 10
    result = JSMA(40, gamma=0.4, output=output, signs=signs).run(
        Oracle.open(BoundThreat(digits_cnn), x, y, Targeted(target))
    )
    assert result.success.double().mean() > least
    with torch.no_grad():
        assert torch.equal(digits_cnn(result.adversarial).argmax(1)[result.success], target[result.success])
    assert torch.equal(result.distance[result.success], L0.size(result.adversarial - x)[result.success])


def test_untargeted_goes_to_the_most_likely_wrong_class(digits_cnn, digits_test):
    x, y = (part[:32] for part in digits_test)
    with torch.no_grad():
        runner_up = digits_cnn(x).scatter(1, y[:, None], -torch.inf).argmax(1)
    toward = []
    iterate(
        JSMA(20, gamma=0.4),
        Oracle.open(BoundThreat(digits_cnn), x, y),
        stop="never",
        callback=lambda t, oracle, state: toward.append(state.toward),
    )
    assert torch.equal(toward[-1], runner_up)
    result = JSMA(40, gamma=0.4).run(Oracle.open(BoundThreat(digits_cnn), x, y))
    assert result.success.all()


def test_a_smaller_ball_binds(digits_cnn, digits_test):
    x, y = (part[:32] for part in digits_test)
    goal = Targeted((y + 1) % 10)
    result = StopInside(JSMA(40, gamma=0.4), L0(6)).run(Oracle.open(BoundThreat(digits_cnn), x, y, goal))
    assert L0.size(result.crafted - x).max() == 6
    limited = JSMA(40, gamma=0.4).run(Oracle.open(BoundThreat(digits_cnn, limit=L0(6)), x, y, goal))
    assert torch.equal(limited.success, result.success)
    assert limited.backwards.max() <= 2 * 4  # it does not go on where success is out of reach


def test_a_step_below_half_a_level_ends_the_search(digits_cnn, digits_test):
    x, y = (part[:4] for part in digits_test)
    result = JSMA(30, theta=0.001).run(Oracle.open(BoundThreat(digits_cnn), x, y))
    assert result.backwards.max() == 1
    assert torch.equal(result.crafted, x)


def test_colour_images_count_components():
    g = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).requires_grad_(False)
    net[1].weight.copy_(torch.randn(3, 48, generator=g))
    x = torch.full((4, 3, 4, 4), 0.4)
    y = net(x).argmax(1)
    result = JSMA(1).run(Oracle.open(BoundThreat(net, levels=None), x, y))
    assert ((result.crafted != x).flatten(1).sum(1) == 2).all()


@pytest.mark.parametrize(
    "params",
    [{"theta": 0.0}, {"theta": 1.5}, {"gamma": 0.0}, {"gamma": 1.1}, {"output": "probabilities"}, {"signs": "-"}],
)
def test_refusals(params):
    with pytest.raises(ContractError, match=f"expected {next(iter(params))} of JSMA as"):
        JSMA(**params)


def test_registered():
    facts = registry.get("jsma").facts
    assert (facts["norms"], facts["needs"], facts["targeted"]) == (("l0",), "gradients", True)
    assert load("jsma", theta=-0.5).norm is L0


def test_the_printed_attack_is_an_option_and_the_default_is_the_one_that_works(digits_cnn, digits_test):
    x, y = (part[:64] for part in digits_test)
    goal = Targeted((y + 1) % 10)
    default, printed = (
        attack.run(Oracle.open(BoundThreat(digits_cnn), x, y, goal))
        for attack in (JSMA(), JSMA(output="logits", signs="one"))
    )
    assert default.success.double().mean() > printed.success.double().mean() + 0.2
    assert default.backwards.sum() < printed.backwards.sum()
