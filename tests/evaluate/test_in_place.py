"""Networks, losses and attacks that work in place: nothing of the caller's changes, numbers are right or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban import L2, Linf, attacks, threats
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.goals import ResolvedGoal
from vauban.defences.voting import vote
from vauban.engine import Attack, BoundThreat, Oracle
from vauban.engine.network import differentiate
from vauban.engine.rerouted import rerouted
from vauban.engine.samples import accuracy
from vauban.evaluate.diagnostics.preflight import measure
from vauban.evaluate.verify import verify
from vauban.store import query
from vauban.training.loop import optimise

SEEN = ["ops", "no_grad", "sometimes"]  # by torch, which counts what is written into a tensor
UNSEEN = ["data", "numpy"]


class Scaled(nn.Module):
    """A linear network of 2 x - 1, which is written into x in one of several ways, or not at all."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.register_buffer("w", torch.linspace(0, 900, 640).sin().view(10, 64))

    def forward(self, x: Tensor) -> Tensor:
        z = 2 * x - 1
        if self.way == "ops":
            z = x.mul_(2).sub_(1)
        elif self.way == "no_grad":
            with torch.no_grad():
                x.zero_()
        elif self.way == "data":
            x.data.mul_(-1)
        elif self.way == "numpy":
            x.detach().numpy()[:] = 7
        elif self.way == "sometimes" and len(x) > 3:
            x.detach().fill_(0.25)
        return 9 * z.flatten(1) @ self.w.T


def digits(n: int = 12) -> Batch:
    """The network's own answers as labels."""
    batch = vb.data.load("digits/test").take(n)
    return Batch(batch.x, Scaled("none")(batch.x).argmax(1), batch.ids)


RUNS: dict[str, tuple[Attack, Any]] = {
    "fgsm": (attacks.FGSM(Linf(0.1)), "white-box"),
    "pgd": (attacks.PGD(Linf(0.1), steps=3), "white-box"),
    "apgd": (attacks.APGD(L2(0.7), steps=4), "white-box"),
    "ddn": (attacks.DDN(steps=4), "white-box"),
    "deepfool": (attacks.DeepFool(steps=3), "white-box"),
    "square": (attacks.Square(Linf(0.1), steps=20), "scores-only"),
    "hopskipjump": (attacks.HopSkipJump(steps=2), "labels-only"),
    "standard": (attacks.Standard(Linf(0.05), steps=3, n_target=2, queries=5), "white-box"),
    "average": (attacks.PGD(Linf(0.1), steps=2), threats.white_box(draws=2)),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", SEEN)
@pytest.mark.parametrize("case", RUNS)
def test_a_network_that_works_in_place_is_refused_and_the_callers_images_stay(case: str, way: str) -> None:
    attack, threat = RUNS[case]
    batch = digits()
    before, labels = batch.x.clone(), batch.y.clone()
    for _ in range(2):  # the second time nothing is wrong with the images
        with pytest.raises(ContractError, match=r"in place; let forward begin with x = x\.clone\(\)"):
            vb.attack(attack, Scaled(way), batch, threat=threat)
    assert torch.equal(batch.x, before)
    assert torch.equal(batch.y, labels)
    assert vb.attack(attack, Scaled("none"), batch, threat=threat).forwards.any()


@pytest.mark.slow
@pytest.mark.parametrize("way", UNSEEN)
@pytest.mark.parametrize("case", RUNS)
def test_a_network_that_works_in_place_is_attacked_like_its_twin_and_the_callers_images_stay(
    case: str, way: str
) -> None:
    attack, threat = RUNS[case]
    batch = digits()
    before, labels = batch.x.clone(), batch.y.clone()
    report = vb.attack(attack, Scaled(way), batch, threat=threat)
    assert torch.equal(batch.x, before)
    assert torch.equal(batch.y, labels)
    twin = vb.attack(attack, Scaled("none"), digits(), threat=threat)
    assert torch.equal(report.crafted, twin.crafted)
    assert torch.equal(report.success, twin.success)
    assert torch.equal(report.forwards, twin.forwards)
    assert bool((report.crafted != before).any())


@pytest.mark.parametrize("way", UNSEEN)
def test_the_preflight_and_verify_see_the_same_network(way: str) -> None:
    batch = digits()
    before = batch.x.clone()

    def seen(net: nn.Module) -> list[tuple[str, int]]:
        found_by = measure(BoundThreat(net), batch.x, batch.y, ResolvedGoal(batch.y))
        return [(m.rule.code, m.count) for m in found_by]

    assert seen(Scaled(way)) == seen(Scaled("none"))
    data = vb.data.load("digits/test[:12]")
    images = (data.all().x * 0.5).clone()
    given = images.clone()
    assert verify(Scaled(way), data, images, Linf(0.5)) == verify(Scaled("none"), data, given, Linf(0.5))
    assert torch.equal(images, given)
    assert torch.equal(batch.x, before)


@pytest.mark.slow
@pytest.mark.parametrize("way", UNSEEN)
def test_a_study_has_the_rows_of_the_twin(way: str, tmp_path: Path) -> None:
    def rows(net: nn.Module, out: Path) -> Any:
        study = vb.Study(out, data="digits/test[:9]", models={"net": net}, attacks="pgd:eps=0.1,steps=3", batch_size=5)
        assert [o.state for o in study.run()] == ["finished"]
        (cell,) = query.load(out).cells
        return {name: values.tolist() for name, values in cell.columns.items() if not name.endswith("png")}

    assert str(rows(Scaled(way), tmp_path / "way")) == str(rows(Scaled("none"), tmp_path / "twin"))


@pytest.mark.parametrize("way", SEEN + UNSEEN)
def test_training_and_votes(way: str) -> None:
    batch = digits(16)
    before = batch.x.clone()

    class Learning(nn.Module):
        def __init__(self, way: str) -> None:
            super().__init__()
            self.scaled, self.layer = Scaled(way), nn.Linear(10, 10)
            nn.init.eye_(self.layer.weight)
            nn.init.zeros_(self.layer.bias)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(self.scaled(x))
            return out

    nets = {kind: Learning(kind) for kind in (way, "none")}
    for net in nets.values():
        optimise(net, batch, epochs=2, batch=8, lr=1e-2)
    assert torch.equal(nets[way].layer.weight, nets["none"].layer.weight)
    assert not torch.equal(nets[way].layer.weight, torch.eye(10))
    assert accuracy(nets[way], batch) == accuracy(nets["none"], batch)
    together, twins = vote([Scaled(way), Scaled("none")]), vote([Scaled("none"), Scaled("none")])
    assert torch.equal(together(batch.x.clone()), twins(batch.x.clone()))
    assert torch.equal(batch.x, before)


@pytest.mark.parametrize("way", SEEN)
def test_studies_and_verify_refuse_it_and_say_why(way: str, tmp_path: Path) -> None:
    study = vb.Study(
        tmp_path / "run", data="digits/test[:9]", models={"net": Scaled(way)}, attacks="pgd:eps=0.1,steps=3"
    )
    with pytest.raises(ContractError, match="in place"):
        study.run()
    images = vb.data.load("digits/test[:9]").all().x
    before = images.clone()
    with pytest.raises(ContractError, match="in place"):
        verify(Scaled(way), "digits/test[:9]", images, Linf(0.5))
    assert torch.equal(images, before)


def test_a_gradient_refuses_it_too() -> None:
    x = torch.full((2, 3), 0.5)
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 2))
    with pytest.raises(ContractError, match="in place"):
        differentiate(net, x, [lambda z: z[:, 0]])
    inner = nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True), nn.Linear(3, 2))
    differentiate(inner, x, [lambda z: z[:, 0]])  # what is its own it may overwrite
    assert torch.equal(x, torch.full((2, 3), 0.5))


def test_a_rule_of_bpda_sees_what_the_operation_was_given() -> None:
    class Rounding(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mul_(4).round_().div_(4)

    net = nn.Sequential(Rounding(), nn.Linear(3, 2, bias=False))
    x = torch.tensor([[0.1, 0.55, 0.9], [0.3, 0.2, 0.7]])
    with rerouted({net[0]: None}):
        _, _, (g,), _ = differentiate(net, x, [lambda z: z[:, 0]])
    torch.testing.assert_close(g, net[1].weight[0].detach().expand(2, -1))
    with rerouted({net[0]: lambda z: z.square()}):
        _, _, (g,), _ = differentiate(net, x, [lambda z: z[:, 0]])
    torch.testing.assert_close(g, 2 * x * net[1].weight[0].detach())


def test_a_loss_that_overwrites_the_logits_is_refused_and_not_believed() -> None:
    def careless(logits: Tensor, goal: ResolvedGoal) -> Tensor:
        own = logits.gather(1, goal.y[:, None]).squeeze(1)
        return logits.scatter_(1, goal.y[:, None], -torch.inf).amax(1) - own

    with pytest.raises(ContractError, match=r"logits = logits\.clone\(\)"):
        vb.attack(attacks.PGD(Linf(0.01), steps=2, loss=careless), Scaled("none"), digits())


def test_an_attack_that_overwrites_the_originals_harms_its_own_copy() -> None:
    batch = digits()
    before, labels = batch.x.clone(), batch.y.clone()
    oracle = Oracle.open(BoundThreat(Scaled("none")), batch.x, batch.y)
    oracle.domain.x0.fill_(0.5)
    oracle.goal.y.zero_()
    assert torch.equal(batch.x, before)
    assert torch.equal(batch.y, labels)
