"""Foreign attacks: functions, objects of torchattacks' and of Foolbox' form; passes, verdict, what is left behind."""

from __future__ import annotations

import functools
import sys
import types
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vauban as vb
from vauban import L2, Linf, attacks
from vauban.core.errors import AccessError, ContractError, UnknownName
from vauban.store import query
from vauban.words.attack import attack_of

EPS = 0.2


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 3)).eval()


NET = net()
X = (torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(1)) * 255).round() / 255
Y = NET(X).argmax(1).detach()


def fgsm(model: nn.Module, x: Tensor, y: Tensor, eps: float = EPS) -> Tensor:
    x = x.clone().requires_grad_(True)
    F.cross_entropy(model(x), y).backward()
    assert x.grad is not None
    return (x + eps * x.grad.sign()).clamp(0, 1).detach()


class OfTorchattacks:
    """An attack object as torchattacks has them: it holds its model, and is called with images and labels."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.targeted = model, False

    def set_mode_targeted_by_label(self, quiet: bool = False) -> None:
        self.targeted = True

    def __call__(self, inputs: Tensor, labels: Tensor | None = None, *args: object, **kwargs: object) -> Tensor:
        assert labels is not None
        sign = -1 if self.targeted else 1
        return (inputs + sign * (fgsm(self.model, inputs, labels) - inputs)).clamp(0, 1)


@pytest.mark.parametrize("call", [fgsm, OfTorchattacks(NET)], ids=["function", "torchattacks"])
def test_the_numbers_are_those_of_our_own_attack(call) -> None:
    ours = vb.attack(attacks.FGSM(Linf(EPS)), NET, (X, Y))
    theirs = vb.attack(attacks.Foreign(call, Linf(EPS)), NET, (X, Y))
    assert ours.success.any()
    assert torch.equal(theirs.success, ours.success)
    assert torch.allclose(theirs.adversarial, ours.adversarial, atol=1e-6)
    assert theirs.backwards.tolist() == [1] * 12
    assert theirs.forwards.tolist() == [2] * 12  # its own, and the check of what it handed over


def test_the_network_is_as_it_was() -> None:
    def rude(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        model.train()
        (model(x.requires_grad_(True)) ** 2).sum().backward()
        return x

    model = net()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [p.grad for p in model.parameters()]
    vb.attack(rude, model, (X, Y))
    assert not any(module.training for module in model.modules())
    assert [p.grad for p in model.parameters()] == gradients == [None] * 4
    assert all(p.requires_grad for p in model.parameters())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_passes_on_parts_of_a_batch_count_as_their_mean() -> None:
    def half(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        model(x[:6]), model(torch.cat([x, x]))
        return x

    report = vb.attack(attacks.Foreign(half), NET, (X, Y))
    assert report.forwards.tolist() == [3 + 1] * 12  # 6 + 24 images of 12 samples, and the closing check
    assert report.backwards.tolist() == [0] * 12


@pytest.mark.parametrize("bad", ["far", "above", "nan"])
def test_what_lies_outside_is_no_success_and_is_said(bad: str) -> None:
    def hands(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        image = fgsm(model, x, y, 0.9)
        return image + {"far": 0.0, "above": 1.0, "nan": float("nan")}[bad]

    report = vb.attack(attacks.Foreign(hands, Linf(0.01)), NET, (X, Y))
    assert not report.success.any()
    assert report.crafted.isfinite().all()
    assert report.robust_accuracy == 1
    assert "12 handed over outside the budget" in repr(report)


def test_without_a_budget_the_distance_is_what_counts() -> None:
    report = vb.attack(fgsm, NET, (X, Y))
    assert report.evaluated.norm is L2
    won = report.success
    assert torch.allclose(report.distance[won], (report.adversarial - X)[won].flatten(1).norm(dim=1))


def test_a_threat_is_kept() -> None:
    seen: list[Tensor] = []

    def labels(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        seen.append(model(x))
        return x

    vb.attack(labels, NET, (X, Y), threat="labels-only")
    assert seen[0].sum(1).tolist() == [1] * 12
    assert torch.equal(seen[0].argmax(1), Y)
    with pytest.raises(ContractError, match="which differentiates"):
        vb.attack(fgsm, NET, (X, Y), threat="scores-only")
    with pytest.raises(AccessError):
        vb.attack("fgsm:eps=0.1", NET, (X, Y), threat="labels-only")


def test_a_targeted_goal_needs_a_parameter_target() -> None:
    def toward(model: nn.Module, x: Tensor, y: Tensor, target: Tensor) -> Tensor:
        x = x.clone().requires_grad_(True)
        F.cross_entropy(model(x), target).backward()
        assert x.grad is not None
        return (x - 0.5 * x.grad.sign()).clamp(0, 1).detach()

    won = vb.attack(toward, NET, (X, Y), goal="targeted:2").success
    assert torch.equal(won, vb.attack(OfTorchattacks(NET), NET, (X, Y), goal="targeted:2").success | won)
    with pytest.raises(ContractError, match="parameter target"):
        vb.attack(lambda m, x, y: x, NET, (X, Y), goal="targeted:2")


def test_an_object_of_foolbox_is_called_in_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    class LinfFastGradientAttack:
        def __call__(self, model, inputs, criterion, *, epsilons):
            clipped = fgsm(model.network, inputs, criterion.labels, epsilons)
            return inputs, clipped, None

    class PyTorchModel:
        def __init__(self, network, bounds, device):
            self.network = network

    class Misclassification:
        def __init__(self, labels):
            self.labels = labels

    LinfFastGradientAttack.__module__ = "foolbox.attacks"
    module = types.ModuleType("foolbox")
    module.PyTorchModel = PyTorchModel
    module.criteria = types.SimpleNamespace(Misclassification=Misclassification)
    monkeypatch.setitem(sys.modules, "foolbox", module)
    report = vb.attack(attacks.Foreign(LinfFastGradientAttack(), Linf(EPS)), NET, (X, Y))
    assert torch.equal(report.success, vb.attack(attacks.FGSM(Linf(EPS)), NET, (X, Y)).success)


FILE = """
import torch.nn.functional as F

def fgsm(model, x, y, eps=0.1, scale=1.0):
    x = x.clone().requires_grad_(True)
    F.cross_entropy(model(x), y).backward()
    return (x + scale * eps * x.grad.sign()).clamp(0, 1).detach()
"""


@pytest.mark.slow
def test_a_function_in_a_file_is_an_attack_of_a_study(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    word = f"{file}:fgsm:eps=0.15"
    named = attack_of(word)
    assert named.value.ball == Linf(0.15)
    ours = vb.attack("fgsm:eps=0.15", "digits-cnn", "digits/test[:32]")
    assert torch.equal(vb.attack(word, "digits-cnn", "digits/test[:32]").success, ours.success)
    with pytest.raises(UnknownName, match="'scale'"):
        attack_of(f"{file}:fgsm:eps=0.15,scales=2")
    study = vb.Study(tmp_path / "run", data="digits/test[:32]", models="digits-cnn", attacks=[word, f"{word},scale=9"])
    study.run()
    rows = {c.meta["attack"]: c for c in query.load(tmp_path / "run").cells}
    assert rows[word].columns["success"].sum() == int(ours.success.sum())
    assert rows[word].meta["eps"] == 0.15
    far = rows[f"{word},scale=9"].columns
    assert not far["success"][far["clean_correct"] > 0].any()
    assert [f["code"] for f in rows[f"{word},scale=9"].findings if f["code"] == "outside-the-budget"]
    file.write_text(FILE.replace("scale * eps", "eps"))
    assert (
        vb.Study(tmp_path / "run", data="digits/test[:32]", models="digits-cnn", attacks=word).cells[0].hash
        != rows[word].meta["hash"]
    )


@pytest.mark.parametrize("wrong", [NET, Linf, lambda x: x, 7, attacks.Foreign])
def test_what_is_no_attack_is_refused(wrong) -> None:
    with pytest.raises(ContractError, match="expected an attack"):
        vb.attack(wrong, NET, (X, Y))


@pytest.mark.parametrize("given", [None, X[:3], X.long()])
def test_what_is_no_image_is_refused(given) -> None:
    with pytest.raises(ContractError, match="to return float images"):
        vb.attack(lambda m, x, y: given, NET, (X, Y))


def test_a_function_of_other_parameters_is_refused() -> None:
    def two(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return x

    with pytest.raises(ContractError, match=r"function of \(model, x, y\) that returns images, got two\(model"):
        attacks.Foreign(two)
    with pytest.raises(ContractError, match="returns images, got None"):
        attacks.Foreign(None)


def test_it_is_called_by_its_function_and_what_that_was_given() -> None:
    def sign(model: nn.Module, x: Tensor, y: Tensor, size: float = 0.1) -> Tensor:
        return x

    assert attack_of(sign).name == "sign"
    half = attacks.Foreign(functools.partial(sign, size=0.5), Linf(8 / 255))
    assert attack_of(half).name == "sign:size=0.5,norm=linf,eps=8/255"
    inner = attacks.Restarts(attacks.Foreign(sign, Linf(0.5)), times=2)
    assert "attack=[sign:norm=linf,eps=0.5]" in attack_of(inner).name
