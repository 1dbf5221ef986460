"""Networks that cut the graph: a battery goes on by scores and by labels, an attack that follows gradients says so."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import vauban as vb
from vauban import L1, L2, Linf, attacks
from vauban.core.errors import NoGradient
from vauban.data.dataset import Dataset, InMemory
from vauban.evaluate.study import Study
from vauban.store import load

Forward = Callable[[nn.Module, Tensor], Tensor]


def pillow(network: nn.Module, x: Tensor) -> Tensor:
    seen = []
    for image in x.detach():
        pixels = Image.fromarray((image[0].numpy() * 255).round().astype(np.uint8))
        stream = io.BytesIO()
        pixels.save(stream, "JPEG", quality=90)
        seen.append(torch.from_numpy(np.array(Image.open(stream))).float()[None] / 255)
    return network(torch.stack(seen))


def numpy_without_detach(network: nn.Module, x: Tensor) -> Tensor:
    return network(torch.from_numpy(np.round(x.numpy() * 15) / 15))


def comparison(network: nn.Module, x: Tensor) -> Tensor:
    return network((x > 0.5).to(x.dtype))


def hard_vote(network: nn.Module, x: Tensor) -> Tensor:
    logits = network(x)
    return torch.nn.functional.one_hot(logits.argmax(1), logits.shape[1]).to(x.dtype)


def loop_without_gradients(network: nn.Module, x: Tensor) -> Tensor:
    seen = x
    with torch.no_grad():
        for _ in range(2):
            seen = 0.9 * seen + 0.1 * seen.mean((2, 3), keepdim=True)
    return network(seen)


def inference(network: nn.Module, x: Tensor) -> Tensor:
    with torch.inference_mode():
        seen = x * 1.0
    return network(seen)


class Refuses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx, g: Tensor) -> Tensor:
        raise NotImplementedError("no backward")


def backward_that_raises(network: nn.Module, x: Tensor) -> Tensor:
    return network(Refuses.apply(x))


def not_a_number(network: nn.Module, x: Tensor) -> Tensor:
    return network((x - 0.5).sign() * ((x - 0.5) ** 2).sqrt() + 0.5 + 0 * (x * 0).sqrt())


CUTS = [
    pillow,
    numpy_without_detach,
    comparison,
    hard_vote,
    loop_without_gradients,
    inference,
    backward_that_raises,
    not_a_number,
]


class Cut(nn.Module):
    def __init__(self, network: nn.Module, forward: Forward) -> None:
        super().__init__()
        self.network, self.way = network, forward

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self.network, x)


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.__name__)
def test_the_battery_breaks_what_cuts_the_graph(
    cut: Forward, digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]
) -> None:
    x, y = digits_test[0][:6], digits_test[1][:6]
    battery = attacks.Standard(Linf(0.35), steps=4, n_target=1, blind_queries=250)
    report = vb.attack(battery, Cut(digits_cnn, cut), (x, y))
    assert report.robust_accuracy <= 0.5
    stages = [report.stages[k] for k in report.broken_by.tolist() if k >= 0]
    assert any("square" in stage or "rays" in stage for stage in stages)
    if cut is not not_a_number and cut is not comparison:
        assert any(finding.code in ("no-gradients", "one-hot") for finding in report.findings)


@pytest.mark.parametrize("ball", [L2(3.0), L1(20.0)], ids=str)
def test_in_other_norms_labels_are_enough(
    ball: vb.Ball, digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]
) -> None:
    x, y = digits_test[0][:3], digits_test[1][:3]
    report = vb.attack(attacks.Standard(ball, steps=2, blind_queries=60), Cut(digits_cnn, hard_vote), (x, y))
    assert report.robust_accuracy < 1


def test_the_original_battery_and_a_cascade_go_on_with_what_needs_no_gradient(
    digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]
) -> None:
    network, batch = Cut(digits_cnn, loop_without_gradients), (digits_test[0][:4], digits_test[1][:4])
    pgd, square = attacks.PGD(Linf(0.35), steps=2), attacks.Square(Linf(0.35), steps=200)
    assert vb.attack(attacks.AutoAttack(Linf(0.35), steps=2, n_target=1, queries=200), network, batch).success.any()
    both = vb.attack(attacks.Cascade((pgd, square)), network, batch)
    alone = vb.attack(square, network, batch)
    assert torch.equal(both.success, alone.success)
    assert set(both.broken_by.tolist()) <= {-1, 1}
    for blind in (pgd, attacks.Cascade((pgd, attacks.FGSM(Linf(0.35)))), attacks.Restarts(pgd, 2)):
        with pytest.raises(NoGradient, match="expected a model that can be differentiated"):
            vb.attack(blind, network, batch)


def test_a_study_of_the_battery_has_rows_and_a_finding(
    tmp_path: Path, digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]
) -> None:
    x, y = (digits_test[0][:8] * 255).round().to(torch.uint8), digits_test[1][:8]
    data = Dataset("digits", "", InMemory(x), y, tuple("0123456789"))
    battery = attacks.Standard(Linf(0.2), steps=2, n_target=1, blind_queries=40)
    Study(tmp_path, data=data, models={"m": Cut(digits_cnn, numpy_without_detach)}, attacks={"b": battery}).run()
    run = load(tmp_path)
    assert run.cells[0].complete
    assert "no-gradients" in {finding["code"] for cell in run.cells for finding in cell.findings}


def test_a_network_that_fails_anyway_tells_its_own_error(digits_test: tuple[Tensor, Tensor]) -> None:
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("of its own")

    with pytest.raises(Exception, match="of its own"):
        vb.attack(attacks.PGD(Linf(0.1)), Fails(), (digits_test[0][:2], digits_test[1][:2]))
