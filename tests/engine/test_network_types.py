"""Types of images and logits: a network is shown its own, and the attack sees float32 or float64."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.losses import margin
from vauban.engine import BoundThreat, Oracle
from vauban.engine.first_answer import first_answer
from vauban.engine.network import differentiate, predict, shown
from vauban.engine.samples import accuracy

F16, BF16, F32, F64 = torch.float16, torch.bfloat16, torch.float32, torch.float64
X = torch.tensor([[0.1, 0.55, 0.9], [0.3, 0.2, 0.7]])


def linear(dtype: torch.dtype) -> nn.Module:
    return nn.Linear(3, 2).to(dtype)


@pytest.mark.parametrize(
    ("parameters", "images", "type_shown"),
    [
        (F16, F16, F16),
        (F16, F32, F16),
        (BF16, F32, BF16),
        (BF16, F16, BF16),
        (F16, F64, F16),
        (F32, F16, F32),
        (F64, BF16, F64),
        (F32, F32, F32),
        (F32, F64, F64),  # a mismatch that is the user's to mend
        (F64, F32, F32),
    ],
)
def test_the_type_that_a_network_is_shown(
    parameters: torch.dtype, images: torch.dtype, type_shown: torch.dtype
) -> None:
    assert shown(linear(parameters), X.to(images)).dtype == type_shown
    assert shown(nn.Identity(), X.to(images)).dtype == images


def test_the_type_of_the_images_decides_where_the_parameters_have_several() -> None:
    mixed = nn.Sequential(linear(F16), linear(F32))
    for dtype in (F16, F32):
        assert shown(mixed, X.to(dtype)).dtype == dtype
    assert shown(mixed, X, F16).dtype == F16
    passed = shown(linear(F32), X, F16)
    assert passed.dtype == F32
    assert torch.equal(passed, X.half().float()), "what is shown has passed through the type that is handed over"
    assert shown(linear(F32), X) is X


class Answer(nn.Module):
    """Logits of another type than the network's own."""

    def __init__(self, inner: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner, self.dtype = inner, dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x).to(self.dtype)


@pytest.mark.parametrize("dtype", [F16, BF16, F32, F64])
def test_logits_and_gradients_come_in_the_type_of_the_attack(dtype: torch.dtype) -> None:
    net = linear(F32)
    true = net.weight[1].detach() - net.weight[0].detach()
    for images in (X, X.double()):
        own = copy.deepcopy(net).to(images.dtype)
        for network in (own, Answer(own, dtype)):
            assert predict(network, images).dtype == images.dtype
            logits, (value,), (g,), _ = differentiate(network, images, [lambda z: z[:, 1] - z[:, 0]])
            assert logits.dtype == value.dtype == g.dtype == images.dtype
            torch.testing.assert_close(g, true.to(g.dtype).expand(2, -1), atol=2e-2, rtol=1e-2)
    assert predict(linear(dtype), X.to(dtype)).dtype == (F64 if dtype == F64 else F32)


@pytest.mark.parametrize("dtype", [F16, BF16])
def test_a_gradient_that_float16_rounds_to_zero_does_not_vanish(dtype: torch.dtype) -> None:
    """1e-9 (w_1 - w_0), as of the cross-entropy of a confident network; each image has a scale of its own."""
    net = nn.Linear(1, 2, bias=False)
    net.weight.data = torch.tensor([[24.0], [2.5]])
    size = torch.tensor([1e-9, 1.0])
    x = torch.ones(2, 1)
    _, _, gradients, nonfinite = differentiate(net.to(dtype), x, [lambda z: size * (z[:, 1] - z[:, 0])] * 2)
    for g in gradients:
        torch.testing.assert_close(g, -21.5 * size[:, None], atol=0, rtol=1e-2)
    assert not nonfinite.any()


@pytest.mark.parametrize("dtype", [F16, BF16])
def test_an_image_of_half_precision_is_attacked_in_float32(dtype: torch.dtype) -> None:
    seen: list[torch.dtype] = []
    net = linear(dtype)
    net.register_forward_hook(lambda module, args, out: seen.append(args[0].dtype))
    x = ((X * 255).round() / 255).to(dtype)
    oracle = Oracle.open(BoundThreat(net), x, torch.tensor([0, 1]))
    assert oracle.domain.x0.dtype == F32
    logits, (g,) = oracle.gradient(oracle.domain.x0, margin)
    assert (logits.dtype, g.dtype, oracle.scores(oracle.domain.x0).dtype) == (F32, F32, F32)
    assert torch.equal(oracle.scores(oracle.domain.x0), net(x).float())
    assert set(seen) == {dtype}


def test_a_mismatch_of_single_and_double_says_what_to_convert() -> None:
    with pytest.raises(ContractError, match=r"takes torch.float64 images.*parameters are torch.float32: convert"):
        first_answer(linear(F32), X.double())
    with pytest.raises(ContractError, match=r"takes torch.float32 images.*parameters are torch.float64: convert"):
        Oracle.open(BoundThreat(linear(F64), levels=None), X, torch.tensor([0, 1]))


def test_grey_images_in_three_channels_say_how_to_be_one() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with pytest.raises(ContractError, match="grey in three channels: a folder with grey=true gives one"):
        first_answer(network, torch.rand(2, 1, 4, 4).expand(2, 3, 4, 4))
    with pytest.raises(ContractError, match=r"it failed: (?!.*grey)"):
        first_answer(network, torch.rand(2, 3, 4, 4))


def test_the_accuracy_of_a_half_network_on_a_data_set(
    digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]
) -> None:
    batch = Batch(digits_test[0][:64], digits_test[1][:64], torch.arange(64))
    assert abs(accuracy(copy.deepcopy(digits_cnn).half(), batch) - accuracy(digits_cnn, batch)) <= 1 / 64
