"""HopSkipJump against the closed form of a linear model, its query count, rounding, budgets and batch mates."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vauban import attacks, threats
from vauban.attacks.blackbox.hopskipjump import HopSkipJump
from vauban.attacks.parts.decision import boundary
from vauban.core.errors import ContractError
from vauban.core.goals import Targeted
from vauban.core.norms import L1, L2, Linf, Norm
from vauban.engine import BoundThreat, Oracle, iterate


class Plane(nn.Module):
    """Class 1 where w.x > b; it counts the images it was shown."""

    def __init__(self, w: Tensor, b: float) -> None:
        super().__init__()
        self.w, self.b, self.shown = w, b, 0

    def forward(self, x: Tensor) -> Tensor:
        self.shown += len(x)
        z = x.flatten(1) @ self.w - self.b
        return torch.stack([-z, z], 1)


def plane(features: int, dtype: torch.dtype = torch.float64) -> Plane:
    w = torch.randn(features, generator=torch.Generator().manual_seed(3), dtype=dtype)
    return Plane(w, float(w.sum()) / 2)


def images(n: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return (0.3 + 0.4 * torch.rand(n, *shape, generator=torch.Generator().manual_seed(0), dtype=dtype)).mul(
        255
    ).round() / 255


def door(net: nn.Module, x: Tensor, y: Tensor | None = None, levels: int | None = None, **kwargs: object) -> Oracle:
    y = net(x).argmax(1) if y is None else y
    return Oracle.open(
        threats.labels_only().bind(net, levels=levels, budget=kwargs.pop("budget", None)), x, y, **kwargs
    )


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "dual"), [(L2, 2.0), (Linf, 1.0)])
def test_close_to_the_nearest_point_of_a_plane(norm: Norm, dual: float) -> None:
    net, x = plane(48), images(6, 3, 4, 4)
    exact = (x.flatten(1) @ net.w - net.b).abs() / torch.linalg.vector_norm(net.w, dual)
    result = HopSkipJump(steps=20, norm=norm).run(door(net, x))
    assert result.success.all()
    ratio = result.distance / exact
    assert (ratio >= 1 - 1e-9).all()
    assert (ratio <= 1.25).all()
    torch.testing.assert_close(norm.size(result.adversarial - x), result.distance)


def test_more_steps_come_nearer() -> None:
    net, x = plane(48), images(6, 3, 4, 4)
    sizes = [HopSkipJump(steps=steps).run(door(net, x)).distance for steps in (1, 4, 16)]
    assert (sizes[1] < sizes[0]).all()
    assert (sizes[2] < sizes[1]).all()


@pytest.mark.slow
@pytest.mark.parametrize("norm", [L2, Linf])
def test_rounded_images_are_adversarial_and_nearly_as_near(
    norm: Norm, digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]
) -> None:
    x, y = digits_test[0][:16], digits_test[1][:16]
    rounded, free = (HopSkipJump(steps=7, norm=norm).run(door(digits_cnn, x, y, levels)) for levels in (256, None))
    assert rounded.success.all()
    assert (digits_cnn(rounded.adversarial).argmax(1) != y).all()
    torch.testing.assert_close(rounded.adversarial * 255, (rounded.adversarial * 255).round())
    assert rounded.distance.median() <= 1.15 * free.distance.median()


@pytest.mark.parametrize("levels", [None, 256])
@pytest.mark.parametrize("norm", [L2, Linf])
def test_bisection_ends_on_the_adversarial_side_of_the_boundary(norm: Norm, levels: int | None) -> None:
    net, x = plane(48), images(5, 3, 4, 4)
    oracle = door(net, x, levels=levels).recording("nearest", norm)
    far = oracle.domain.quantise(
        x - 0.25 * torch.sign(net.w.view(1, 3, 4, 4)) * torch.sign(net(x)[:, 1]).view(-1, 1, 1, 1)
    )
    everyone = torch.ones(5, dtype=torch.bool)
    assert oracle.goal.reached(net(far)).all()
    edge = boundary(oracle, norm, far, everyone)
    assert oracle.goal.reached(net(edge)).all()
    assert torch.equal(oracle.domain.quantise(edge), edge)
    short = 1e-3 if levels is None else 2.5 / 255  # a little nearer to x is not adversarial
    back = x + (edge - x) * (1 - short / (edge - x).abs().amax((1, 2, 3), keepdim=True))
    assert not oracle.goal.reached(net(oracle.domain.quantise(back))).any()


def test_every_query_is_counted_for_its_sample() -> None:
    net, x = plane(12), images(4, 3, 2, 2)
    oracle = door(net, x)
    net.shown = 0
    result = HopSkipJump(steps=5).run(oracle)
    assert int(result.forwards.sum()) == net.shown
    assert (result.backwards == 0).all()


@pytest.mark.parametrize("budget", [1, 30, 200, 701])
def test_a_budget_is_never_passed_and_the_nearest_image_is_kept(budget: int) -> None:
    net, x = plane(48), images(4, 3, 4, 4)
    result = HopSkipJump(steps=20).run(door(net, x, budget=budget))
    assert (result.forwards <= budget).all()
    assert bool(result.success.all()) == (budget >= 30)
    if budget >= 200:
        longer = HopSkipJump(steps=20).run(door(net, x, budget=30))
        assert (result.distance < longer.distance).all()
        assert (result.forwards > budget - 52).all()  # less than two lots of directions are left over


@pytest.mark.slow
def test_a_sample_walks_alike_in_a_batch_and_alone() -> None:
    net, x = plane(18), images(6, 2, 3, 3)
    ids = torch.arange(70, 76)
    attack = HopSkipJump(steps=5, lot=20)
    for budget in (None, 300):
        whole = attack.run(door(net, x, ids=ids, budget=budget))
        for k in range(6):
            alone = attack.run(door(net, x[k : k + 1], ids=ids[k : k + 1], budget=budget))
            torch.testing.assert_close(alone.adversarial[0], whole.adversarial[k], atol=1e-9, rtol=0)
            assert int(alone.forwards) == int(whole.forwards[k])


def test_rows_without_a_start_fail_alone_and_are_not_asked_again() -> None:
    class Stubborn(Plane):
        """Images whose first pixel is below a half are class 0 whatever else; noise that is above has class 1."""

        def forward(self, x: Tensor) -> Tensor:
            z = torch.where(
                x.flatten(1)[:, 0] < 2, -torch.ones(len(x), dtype=x.dtype), torch.ones(len(x), dtype=x.dtype)
            )
            return torch.stack([-z, z], 1)

    x = images(3, 1, 2, 2)
    result = HopSkipJump(steps=8, tries=10).run(door(Stubborn(torch.zeros(4), 0.0), x))
    assert not result.success.any()
    assert torch.equal(result.adversarial, x)
    assert result.distance.isinf().all()
    assert (result.forwards == 1 + 10 + 1).all()  # the original, the noise images, the closing check


def test_an_original_that_is_wrong_already_costs_one_question() -> None:
    net, x = plane(12), images(4, 3, 2, 2)
    y = net(x).argmax(1)
    y[1] = 1 - y[1]
    result = HopSkipJump(steps=3).run(door(net, x, y))
    assert result.success.all()
    assert float(result.distance[1]) == 0
    assert int(result.forwards[1]) <= 2
    assert (result.distance[[0, 2, 3]] > 0).all()


@pytest.mark.slow
def test_targeted_from_a_pool_of_images(digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]) -> None:
    x, y = digits_test[0][:8], digits_test[1][:8]
    target = (y + 3) % 10
    attack = HopSkipJump(steps=4, starts=digits_test[0][100:160])
    first = HopSkipJump(steps=1, starts=attack.starts).run(door(digits_cnn, x, y, 256, goal=Targeted(target)))
    result = attack.run(door(digits_cnn, x, y, 256, goal=Targeted(target)))
    assert result.success.all()
    assert (digits_cnn(result.adversarial).argmax(1) == target).all()
    assert result.distance.mean() < 0.8 * first.distance.mean()


def test_starts_are_tried_nearest_first() -> None:
    net, x = plane(12), images(2, 3, 2, 2)
    y = net(x).argmax(1)
    off = torch.sign(net.w).view(1, 3, 2, 2) * torch.sign(net(x)[0, 1])
    pool = torch.cat([(x[:1] - share * off).clamp(0, 1) for share in (0.5, 0.3, 0.0)])
    oracle = door(net, x[:1], y[:1])
    HopSkipJump(steps=1, starts=pool).run(oracle)
    seen: list[Tensor] = []
    hook = net.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    HopSkipJump(steps=1, starts=pool).run(oracle)
    hook.remove()
    assert torch.equal(seen[0], x[:1])
    assert torch.equal(seen[1], pool[2:])
    assert torch.equal(seen[2], pool[1:2])


def test_what_it_cannot_do_is_refused_in_one_line() -> None:
    net, x = plane(12), images(2, 3, 2, 2)
    with pytest.raises(ContractError, match="starts"):
        HopSkipJump().run(door(net, x, goal=Targeted(1)))
    with pytest.raises(ContractError, match="shape"):
        HopSkipJump(starts=torch.zeros(2, 3, 4, 4)).run(door(net, x))
    with pytest.raises(ContractError, match="l2 or linf"):
        HopSkipJump(norm=L1)
    with pytest.raises(ContractError, match="lot"):
        HopSkipJump(lot=0)
    assert HopSkipJump(norm="linf").norm is Linf  # type: ignore[arg-type]


def test_labels_are_all_it_asks_for_and_it_works_on_vectors() -> None:
    net, x = plane(12), images(3, 12)
    asked: list[str] = []

    class Nosy(BoundThreat):
        def open(self, *args: object, **kwargs: object) -> Oracle:
            oracle = super().open(*args, **kwargs)
            for name in ("gradient", "jacobian", "scores"):
                setattr(oracle, name, lambda *a, name=name: asked.append(name))
            return oracle

    oracle = Oracle.open(Nosy(net, grants=frozenset({"labels"}), levels=None), x, net(x).argmax(1))
    assert iterate(HopSkipJump(steps=3), oracle).success.all()
    assert asked == []


def test_registered_with_its_facts() -> None:
    entry = attacks.registry.get("hopskipjump")
    assert entry.make is HopSkipJump
    assert entry.facts["needs"] == "labels"
    assert entry.facts["norms"] == ("l2", "linf")


@pytest.mark.peers
def test_as_near_as_foolbox_at_equal_steps(digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]) -> None:
    foolbox = pytest.importorskip("foolbox")
    x, y = digits_test[0][:20], digits_test[1][:20]
    ours = HopSkipJump(steps=9).run(door(digits_cnn, x, y)).distance.median()
    with torch.random.fork_rng():
        peer = foolbox.attacks.HopSkipJumpAttack(
            steps=8, init_attack=foolbox.attacks.LinearSearchBlendedUniformNoiseAttack(directions=100)
        )
        _, crafted, won = peer(foolbox.PyTorchModel(digits_cnn, bounds=(0, 1), device="cpu"), x, y, epsilons=[None])
    theirs = torch.where(won[0], L2.size(crafted[0] - x), torch.inf).median()
    print(f"median l2: vauban {float(ours):.3f}, foolbox {float(theirs):.3f}")
    assert ours <= 1.1 * theirs
