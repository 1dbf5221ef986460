"""What does not fit is refused by `vauban.attack`, `verify`, `train` and a study alike, in one line; doubts are told."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban import L2, Linf, attacks, threats
from vauban.core.errors import ContractError, NoGradient
from vauban.data.dataset import Dataset, InMemory
from vauban.evaluate.fit import fit
from vauban.evaluate.study import Study
from vauban.training.run import TrainingRun
from vauban.words.named import Named

DIGITS = vb.data.load("digits/test[:12]")
X, Y = DIGITS.all().x, DIGITS.y
PGD = attacks.PGD(Linf(0.2), steps=3)


def linear() -> nn.Sequential:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        net[1].weight.copy_(torch.linspace(-1, 1, 640).view(10, 64).sin())
        net[1].bias.zero_()
    return net


class Calls(nn.Module):
    """A network that does something to what a linear one takes or gives."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        super().__init__()
        self.inner, self.does = linear(), forward

    def forward(self, x: Tensor) -> Any:
        return self.does(self.inner, x)


class Extra(nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return (x * mask).flatten(1)


def asserted(net: nn.Module, x: Tensor) -> Tensor:
    assert x.shape[-1] == 32, "images of 32 pixels"
    out: Tensor = net(x)
    return out


def missing_key(net: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = {"a": x}["b"]
    return out


UNFIT: dict[str, tuple[nn.Module, str]] = {
    "double network": (linear().double(), r"parameters are torch\.float64: convert the images"),
    "extra argument": (Extra(), "'mask'; it asks for more than images"),
    "fixed batch": (Calls(lambda net, x: net(x.view(4, 64))), "takes batches of 4 only.*-1"),
    "one at a time": (Calls(lambda net, x: net(x.view(1, 64))), "takes batches of 1 only"),
    "asserted size": (Calls(asserted), "AssertionError: images of 32 pixels"),
    "key": (Calls(missing_key), "KeyError: 'b'"),
    "attribute": (Calls(lambda net, x: net(x.pixels)), "AttributeError"),
    "other size": (nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), r"images of shape \(\d+, 1, 8, 8\).*but it failed"),
    "one logit": (Calls(lambda net, x: net(x)[:, :1]), r"wrap\(net, binary=True\)"),
    "labels": (Calls(lambda net, x: net(x).argmax(1)), "labels_only=True"),
    "a map": (Calls(lambda net, x: net(x)[:, :, None, None]), r"z\.flatten\(1\)"),
    "a tuple": (Calls(lambda net, x: (net(x), 1)), r"wrap\(net, logits=0\)"),
    "a dictionary": (Calls(lambda net, x: {"out": net(x)}), r"wrap\(net, logits='out'\)"),
    "in TorchScript": (
        torch.jit.trace(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), torch.zeros(1, 784)),
        "mat1 and mat2",
    ),
}


def by_attack(model: nn.Module, out: Path) -> None:
    vb.attack(PGD, model, (X, Y))


def by_verify(model: nn.Module, out: Path) -> None:
    vb.verify(model, DIGITS, X, Linf(0.1))


def by_study(model: nn.Module, out: Path) -> None:
    Study(out, data=DIGITS, models=[Named("net", model)], attacks=[PGD]).run()


@pytest.mark.slow
@pytest.mark.parametrize("door", [by_attack, by_verify, by_study])
@pytest.mark.parametrize("what", UNFIT)
def test_a_network_that_does_not_fit(what: str, door: Callable[[nn.Module, Path], None], tmp_path: Path) -> None:
    model, says = UNFIT[what]
    with pytest.raises(ContractError, match=says) as caught:
        door(model, tmp_path)
    assert "\n" not in str(caught.value)


def test_training_asks_first(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef wide():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
        "def few():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1))\n"
    )
    for name, says in (("wide", "but it failed: mat1 and mat2"), ("few", r"binary=True")):
        run = TrainingRun(f"{tmp_path}/net.py:{name}", "digits/test", 1)
        with pytest.raises(ContractError, match=says):
            vb.train(run, DIGITS, tmp_path / "w.safetensors")
    with pytest.raises(ContractError, match="TrainingRun"):
        vb.train(3, DIGITS, tmp_path / "w.safetensors")  # type: ignore[arg-type]


def test_double_images_are_named() -> None:
    with pytest.raises(ContractError, match=r"torch\.float64 images.*parameters are torch\.float32"):
        vb.attack(PGD, linear(), (X.double(), Y))
    assert vb.attack(PGD, linear().double(), (X.double(), Y)).success.shape == (12,)


def test_a_network_without_a_mode() -> None:
    frozen = torch.jit.freeze(torch.jit.script(linear().eval()))
    plain = vb.attack(PGD, linear(), (X, Y))
    assert torch.equal(vb.attack(PGD, frozen, (X, Y)).adversarial, plain.adversarial)
    assert torch.equal(vb.attack(PGD, vb.defences.BitDepth(8).wrap(frozen), (X, Y)).adversarial, plain.adversarial)


def test_training_mode_is_set_aside_and_put_back() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), linear()[1], nn.BatchNorm1d(10)).train()
    before = copy.deepcopy(net.state_dict())
    report = vb.attack(PGD, net, (X, Y))
    assert net.training
    assert {f.code for f in report.findings if f.severity != "info"} <= {"low-accuracy", "untrained-statistics"}
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_inference_mode_is_named() -> None:
    with torch.inference_mode(), pytest.raises(ContractError, match="leave it"):
        vb.attack(PGD, linear(), (X, Y))
    with torch.inference_mode():
        made = X.clone(), Y.clone()
    with torch.no_grad():
        report = vb.attack(PGD, linear(), made)
    assert torch.equal(report.adversarial, vb.attack(PGD, linear(), (X, Y)).adversarial)


def test_a_gradient_that_cannot_be_taken_is_named() -> None:
    class NumPy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.from_numpy(x.flatten(1).numpy()[:, :10])

    with pytest.raises(NoGradient, match="numpy") as caught:
        vb.attack(PGD, NumPy(), (X, Y))
    assert "\n" not in str(caught.value)
    assert vb.attack(attacks.Square(Linf(0.2), steps=5), NumPy(), (X, Y), threat="scores-only").findings is not None


DOUBTS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "not-finite": lambda net, x: net(x) * float("nan"),
    "batch-dependent": lambda net, x: net((x - 0.3 * x.mean(0, keepdim=True)).clamp(0, 1)),
    "probabilities": lambda net, x: net(x).softmax(1),
}


@pytest.mark.parametrize("code", DOUBTS)
def test_doubts_are_told_and_kept(code: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "vauban"):
        report = vb.attack(PGD, Calls(DOUBTS[code]), (X, Y))
    codes = [f.code for f in report.findings if f.severity != "info"]
    assert codes[0] == code
    assert set(codes[1:]) <= {"low-accuracy", "not-finite-answers"}
    assert [line for line in caplog.messages if line.startswith(f"{code}: ")]
    assert all("\n" not in line for line in caplog.messages)
    assert (code in repr(report)) == (report.findings[0].severity == "invalid")


@pytest.mark.parametrize("code", DOUBTS)
def test_doubts_are_told_before_a_fit(code: str, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with caplog.at_level(logging.WARNING, "vauban"):
        fit("universal:eps=0.2,epochs=1", Calls(DOUBTS[code]), (X, Y), tmp_path / "u.safetensors")
    assert [line for line in caplog.messages if line.startswith(f"{code}: ")]


def test_a_fit_without_gradients_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(NoGradient):
        fit("universal:eps=0.2", Calls(lambda net, x: net(x).detach()), (X, Y), tmp_path / "u.safetensors")
    assert not list(tmp_path.iterdir())


def test_nothing_is_said_of_a_sound_network(caplog: pytest.LogCaptureFixture, digits_cnn: nn.Module) -> None:
    report = vb.attack(PGD, digits_cnn, (X, Y))
    assert report.findings == ()
    assert caplog.messages == []


WORK: dict[str, Callable[[], Any]] = {
    "goal by name": lambda: vb.attack(PGD, linear(), (X, Y), goal="untargeted"),
    "goal class": lambda: vb.attack(PGD, linear(), (X, Y), goal=vb.Untargeted),  # type: ignore[arg-type]
    "threat by name": lambda: vb.attack(PGD, linear(), (X, Y), threat="white-box"),
    "threat not called": lambda: vb.attack(PGD, linear(), (X, Y), threat=threats.white_box),
    "a data set": lambda: vb.attack(PGD, linear(), DIGITS),
    "labels as a list": lambda: vb.attack(PGD, linear(), (X, Y.tolist())),
    "labels as an array": lambda: vb.attack(PGD, linear(), (X, Y.numpy().astype(np.int32))),
    "images as an array": lambda: vb.attack(PGD, linear(), (X.numpy(), Y)),
    "images as a list": lambda: vb.attack(PGD, linear(), (list(X), list(Y))),
    "a list of two": lambda: vb.attack(PGD, linear(), [X, Y]),  # type: ignore[arg-type]
    "mask as an array": lambda: vb.attack(PGD, linear(), (X, Y), mask=np.ones((8, 8), bool)),
    "mask of 0 and 1": lambda: vb.attack(PGD, linear(), (X, Y), mask=np.ones((8, 8))),
    "above 1 by rounding": lambda: vb.attack(PGD, linear(), (X * (1 + 1.2e-7), Y)),
    "below 0 by rounding": lambda: vb.attack(PGD, linear(), (X - 1e-8, Y)),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", WORK)
def test_other_ways_to_say_the_same(what: str) -> None:
    expected = vb.attack(PGD, linear(), (X, Y))
    given = WORK[what]()
    assert torch.equal(given.success, expected.success)
    torch.testing.assert_close(given.adversarial, expected.adversarial, atol=1e-6, rtol=0)


HALF_MASK = torch.full((8, 8), 0.5)
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "attack by an unknown name": (lambda: vb.attack("pdg", linear(), DIGITS), "did you mean 'pgd'"),
    "attack that is none": (lambda: vb.attack(len, linear(), (X, Y)), "attack or its name.*function len"),  # type: ignore[arg-type]
    "attack of a parameter": (lambda: vb.attack(attacks.Restarts, linear(), (X, Y)), "class Restarts; call it"),  # type: ignore[arg-type]
    "function as model": (lambda: vb.attack(PGD, lambda x: x, (X, Y)), r"nn\.Module.*black_box\(fn\)"),  # type: ignore[arg-type]
    "method as model": (lambda: vb.attack(PGD, linear().forward, (X, Y)), "black_box"),  # type: ignore[arg-type]
    "class as model": (lambda: vb.attack(PGD, nn.Linear, (X, Y)), r"call it: Linear\(in_features=\.\.\."),  # type: ignore[arg-type]
    "number as model": (lambda: vb.attack(PGD, 3, (X, Y)), "nn.Module or its name, got 3"),  # type: ignore[arg-type]
    "goal as a number": (lambda: vb.attack(PGD, linear(), (X, Y), goal=3), "targeted:3"),  # type: ignore[arg-type]
    "threat as a number": (lambda: vb.attack(PGD, linear(), (X, Y), threat=3), "bind"),
    "threat with sources": (lambda: vb.attack(PGD, linear(), (X, Y), threat=threats.transfer), "call it"),
    "images alone": (lambda: vb.attack(PGD, linear(), X), r"a pair \(x, y\)"),  # type: ignore[arg-type]
    "one image": (lambda: vb.attack(PGD, linear(), (X[0], Y[0])), r"x\[None\], y\[None\]"),
    "bytes": (lambda: vb.attack(PGD, linear(), ((X * 255).byte(), Y)), r"x\.float\(\) / 255"),
    "text as images": (lambda: vb.attack(PGD, linear(), ("x", Y)), "images as a tensor or an array"),
    "one-hot labels": (lambda: vb.attack(PGD, linear(), (X, torch.eye(10)[Y])), r"y\.argmax\(1\)"),
    "labels in a column": (lambda: vb.attack(PGD, linear(), (X, Y[:, None])), r"y\.flatten\(\)\.long\(\)"),
    "labels of other data": (lambda: vb.attack(PGD, linear(), (X, Y + 5)), "10 classes"),
    "above 1": (lambda: vb.attack(PGD, linear(), (X * (1 + 1e-5), Y)), r"got \[0, 1 \+ 1e-05\]; x\.clamp\(0, 1\)"),
    "below 0": (lambda: vb.attack(PGD, linear(), (X - 1e-4, Y)), r"got \[-0\.0001, "),
    "a share in a mask": (lambda: vb.attack(PGD, linear(), (X, Y), mask=HALF_MASK), r"value 0\.5; .*mask > 0\.5"),
    "NaN in a mask": (lambda: vb.attack(PGD, linear(), (X, Y), mask=HALF_MASK * np.nan), "value nan"),
    "bytes in a mask": (lambda: vb.attack(PGD, linear(), (X, Y), mask=np.full((8, 8), 255)), "value 255"),
    "text as a mask": (lambda: vb.attack(PGD, linear(), (X, Y), mask="all"), "a mask as a tensor"),
    "budget as a number": (lambda: vb.verify(linear(), DIGITS, X, 0.1), "linf:8/255"),  # type: ignore[arg-type]
    "loss by name": (lambda: attacks.PGD(Linf(0.2), loss="margin"), "expected loss of PGD"),  # type: ignore[arg-type]
    "radius alone": (lambda: attacks.PGD(0.2), "expected the budget of PGD"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_meant_is_one_line(what: str) -> None:
    call, says = REFUSED[what]
    with pytest.raises(vb.core.errors.VaubanError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_verify_takes_arrays_and_rounding() -> None:
    data = Dataset(
        "g", "", InMemory(torch.full((3, 1, 4, 4), 255, dtype=torch.uint8)), torch.zeros(3).long(), ("a", "b")
    )
    given = np.full((3, 1, 4, 4), 1 + 1.2e-7, dtype=np.float32)
    judged = vb.verify(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), data, given, L2(0.1))
    assert (judged.in_range, judged.largest_distance) == (1.0, 0.0)
    assert vb.verify(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), data, given + 1e-3, L2(0.1)).in_range == 0
