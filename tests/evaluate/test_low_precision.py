"""Attacks in low precision: a success is one that float32 confirms, and what judges is float32."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban.core.arithmetic import check_precision, products_in_tf32
from vauban.core.errors import ContractError
from vauban.core.norms import L2, Linf
from vauban.engine import BoundThreat, Oracle
from vauban.evaluate.study import Study
from vauban.store import query

TIE = 1 + 2**-9  # which bfloat16 rounds to 1


def tied() -> nn.Linear:
    """Class 1 leads by 2^-9 on (1, 0), and not at all in bfloat16, where the first class of equals is answered."""
    network = nn.Linear(2, 2, bias=False).requires_grad_(False)
    network.weight.copy_(torch.tensor([[1.0, 1.0], [TIE, 0.0]]))
    return network


def opened(precision: str, budget: int | None = None) -> Oracle:
    threat = BoundThreat(tied(), precision=precision, budget=budget, levels=None)  # type: ignore[arg-type]
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    return Oracle.open(threat, x, torch.tensor([1, 1])).recording("first", L2)


def test_a_success_that_float32_denies_is_none() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 1.0]])  # the second is broken in float32 too
    for ask in ("scores", "labels", "gradient"):
        oracle = opened("bf16")
        answer = oracle.gradient(x, vb.margin)[0] if ask == "gradient" else getattr(oracle, ask)(x)
        assert answer.dtype == (torch.int64 if ask == "labels" else torch.float32)
        assert oracle.succeeded.tolist() == [False, True]
        assert oracle.forwards.tolist() == [2, 2]  # the question, and one of what looked like a success
        if ask != "labels":
            assert torch.equal(answer[0], torch.ones(2))
            assert oracle.won(answer).tolist() == [False, True]
    exact = opened("float32")
    assert exact.labels(x).tolist() == [1, 0]
    assert exact.forwards.tolist() == [1, 1]


def test_what_is_recorded_is_not_asked_again_and_the_closing_check_is_exact() -> None:
    oracle = opened("bf16")
    x = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    oracle.labels(x)
    oracle.labels(x)
    assert oracle.forwards.tolist() == [4, 3]
    assert oracle.check(x).tolist() == [0.0, 1.0]
    assert torch.equal(oracle.clean_logits()[0], torch.tensor([1.0, TIE]))


def test_a_confirmation_is_a_query_and_there_is_none_beyond_the_budget() -> None:
    x = torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    spent, left = opened("bf16", budget=1), opened("bf16", budget=2)
    for oracle in (spent, left):
        oracle.labels(x)
    assert (spent.forwards.tolist(), spent.succeeded.tolist()) == ([1, 1], [False, False])
    assert (left.forwards.tolist(), left.succeeded.tolist()) == ([2, 2], [True, True])


@pytest.mark.parametrize("word", ["pgd:eps=0.1,steps=10", "ddn:steps=15", "square:eps=0.1,steps=40"])
def test_every_success_of_an_attack_is_one_in_float32(
    word: str, digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]
) -> None:
    x, y = (part[:40] for part in digits_test)
    low, full = (vb.attack(word, digits_cnn, (x, y), precision=p) for p in ("bf16", "float32"))
    label = digits_cnn(low.adversarial).argmax(1)
    assert torch.equal(low.success, label != y)
    assert abs(int(low.success.sum()) - int(full.success.sum())) <= 4
    assert bool(low.success.any())


def test_the_network_is_called_in_bfloat16_by_the_attack_alone() -> None:
    seen: list[torch.dtype] = []

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = tied()

        def forward(self, x: Tensor) -> Tensor:
            logits = self.inner(x)
            seen.append(logits.dtype)
            return logits  # type: ignore[no-any-return]

    oracle = Oracle.open(BoundThreat(Watched(), precision="bf16", levels=None), torch.rand(2, 2), torch.tensor([1, 1]))
    oracle.clean_logits()
    assert set(seen) == {torch.float32}
    oracle.gradient(torch.rand(2, 2), vb.margin)
    assert seen[-1] == torch.bfloat16
    oracle.check(torch.rand(2, 2))
    assert seen[-1] == torch.float32
    assert not torch.is_autocast_enabled("cpu")


def test_what_is_no_precision_is_told_in_one_line(digits_cnn: nn.Module) -> None:
    for word, said in (("tf32", "tf32 is for CUDA devices, got cpu"), ("fp8", "float32, bf16 or tf32, got 'fp8'")):
        with pytest.raises(ContractError, match=said):
            check_precision(word, "cpu")
    assert check_precision("tf32", "cuda:0") == "tf32"
    images = torch.full((1, 1, 8, 8), 0.5, dtype=torch.float64), torch.tensor([0])
    with pytest.raises(ContractError, match="images in float32 for an attack in bf16, got float64"):
        vb.attack(vb.attacks.PGD(Linf(0.1)), digits_cnn.double(), images, precision="bf16")
    digits_cnn.float()


def test_products_on_cuda_are_set_and_restored() -> None:
    conv = getattr(torch.backends.cudnn, "conv", None)
    if conv is None or not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        pytest.skip("this torch has the older settings alone")

    def now() -> tuple[str, str]:
        return conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision

    before = now()
    with products_in_tf32(allowed=False):
        assert now() == ("ieee", "ieee")
        with products_in_tf32(allowed=True):
            assert now() == ("tf32", "tf32")
        assert now() == ("ieee", "ieee")
    assert now() == before


def test_rows_say_so_and_are_others(tmp_path: Path) -> None:
    def study(**given: str) -> Study:
        words = {"data": "digits/test[:12]", "models": "digits-cnn", "attacks": "fgsm:eps=0.1", "preflight": False}
        return Study(tmp_path, **words, **given)  # type: ignore[arg-type]

    (plain,), (low,) = study().cells, study(precision="bf16").cells
    assert "precision" not in plain.identity()
    assert low.identity()["precision"] == low.threat.precision == "bf16"
    assert plain.hash != low.hash
    for precision in ("float32", "bf16"):
        study(precision=precision).run(progress=False)
    cells = {cell.meta.get("precision"): cell for cell in query.load(tmp_path).cells}
    assert set(cells) == {None, "bf16"}
    assert not any(cell.superseded for cell in cells.values())
    assert "attacked in bf16, judged in float32" in study().report().read_text()
