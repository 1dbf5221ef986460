"""The AttackBench adapter against its hook's rules, written here once more."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vauban as vb
from vauban.core.errors import ContractError, UnknownName
from vauban.core.norms import norm_by_name
from vauban.engine import Result


class CountingModel(nn.Module):
    """What AttackBench puts around a network: counts, bounds, and the smallest successful distance it was shown.

    A row belongs to the nearest original; a backward to the rows of the last forward. Beyond the bound a row is answered
    with its true class (never its target) and the gradient zero.
    """

    def __init__(
        self, model: nn.Module, x: Tensor, y: Tensor, norm: str, most: int, targets: Tensor | None = None
    ) -> None:
        super().__init__()
        self.inner, self.x, self.y, self.most, self.targets = model, x.clone(), y, most, targets
        self.size, self.log = norm_by_name(norm).size, list[tuple[str, int]]()
        with torch.no_grad():
            logits = model(x)
        self.classes, self.clean = logits.shape[1], logits.argmax(1)
        self.forwards, self.backwards = torch.zeros_like(y), torch.zeros_like(y)
        already = self.won(self.clean, torch.arange(len(x)))
        self.nearest = torch.where(already, 0.0, torch.inf)
        self.refused = 0
        self.handle = model.register_full_backward_hook(self.backward)

    def won(self, label: Tensor, rows: Tensor) -> Tensor:
        return label != self.y[rows] if self.targets is None else label == self.targets[rows]

    def allowed(self) -> Tensor:
        spent, seen = self.forwards + self.backwards, list[int]()
        answer = []
        for row in self.rows.tolist():
            answer.append(int(spent[row]) + seen.count(row) < self.most)
            seen.append(row)
        return torch.tensor(answer)

    def forward(self, x: Tensor) -> Tensor:
        low, high = x.detach().aminmax()
        assert 0 <= low <= high <= 1, "clip before the call"
        assert x.dtype == torch.float32
        flat, originals = x.detach().flatten(1), self.x.flatten(1)
        self.rows = (flat[:, None] - originals[None]).square().sum(2).argmin(1)
        ok = self.allowed()
        self.refused += int((~ok).sum())
        fake = F.one_hot(self.y if self.targets is None else self.targets, self.classes)[self.rows].float()
        fake = (fake if self.targets is None else -fake) + 0 * x.flatten(1)[:, :1]
        logits = torch.where(ok[:, None], self.inner(x), fake) if bool(ok.any()) else fake
        self.forwards.index_add_(0, self.rows, ok.long())
        self.log.append(("forward", len(x)))
        won = self.won(logits.argmax(1), self.rows) & ok
        for row, image in zip(self.rows[won].tolist(), x.detach()[won], strict=True):
            distance = self.size((image - self.x[row])[None])[0]
            self.nearest[row] = torch.minimum(self.nearest[row], distance.to(self.nearest.dtype))
        return logits

    def backward(self, module: nn.Module, given: Any, returned: Any) -> Any:
        assert self.log, "a backward without a forward"
        assert self.log[-1][1] == len(given[0]) == len(self.rows), "a backward of other rows than the last forward's"
        ok = self.allowed()
        self.backwards.index_add_(0, self.rows, ok.long())
        self.log.append(("backward", len(given[0])))
        return tuple(torch.where(ok.view(-1, *[1] * (g.dim() - 1)), g, 0) for g in given)


def distances(hook: CountingModel, adversarial: Tensor) -> Tensor:
    """As the adapter sees it: infinite where what it returns is no success."""
    with torch.no_grad():
        won = hook.won(hook.inner(adversarial).argmax(1), torch.arange(len(adversarial)))
    return torch.where(won, hook.size(adversarial - hook.x), torch.inf)


@pytest.fixture(scope="module")
def rows() -> tuple[Tensor, Tensor]:
    batch = vb.data.load("digits/test[:40]").all()
    label = vb.models.load("digits-cnn")(batch.x).argmax(1)
    chosen = torch.cat([(label == batch.y).nonzero()[:3, 0], (label != batch.y).nonzero()[:1, 0]])
    assert len(chosen) == 4  # the last one is misclassified
    return batch.x[chosen], batch.y[chosen]


CASES = [
    ("linf", "pgd:eps=8/255,steps=5"),
    ("linf", "apgd:eps=8/255,steps=6"),
    ("linf", "fgsm:eps=8/255"),
    ("linf", "cia:eps=8/255,steps=6"),
    ("linf", "deepfool:norm=linf"),
    ("l2", "ddn:steps=30"),
    ("l2", "bp:steps=20"),
    ("l2", "cw-l2:search_steps=3,steps=10"),
    ("l2", "fab:norm=l2,steps=10"),
    ("l1", "fmn:norm=l1,steps=30"),
    ("l1", "ead:search_steps=2,steps=15"),
    ("l0", "jsma"),
]
FAR = [("l0", "sigma-zero:steps=20"), ("l2", "hopskipjump:steps=3")]
"""They begin so far away that the hook would take their images for those of others: one image at a time."""


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "word"), CASES + FAR, ids=[word for _, word in CASES + FAR])
def test_the_hook_sees_what_the_adapter_says(
    norm: str, word: str, rows: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Distance, passes of each image, and rows of each backward."""
    few = slice(1) if (norm, word) in FAR else slice(None)
    x, y = rows[0][few], rows[1][few]
    hook, model = CountingModel(vb.models.load("digits-cnn"), x, y, norm, 2000), vb.attackbench(word)
    results: list[Result] = []
    kind = type(model.attack)
    run = kind.run
    monkeypatch.setattr(kind, "run", lambda self, oracle: results.append(run(self, oracle)) or results[-1])
    given = x.clone()
    adversarial = model(hook, given, y)
    assert torch.equal(given, x)
    assert not adversarial.requires_grad
    assert 0 <= float(adversarial.min()) <= float(adversarial.max()) <= 1
    torch.testing.assert_close(distances(hook, adversarial), hook.nearest, rtol=1e-5, atol=1e-6)
    assert torch.equal(adversarial[3:], x[3:])  # misclassified before
    (result,) = results
    asked = len(result.forwards)
    assert hook.forwards.tolist() == [1 + n for n in result.forwards.tolist()] + [1] * (len(x) - asked)
    assert hook.backwards.tolist() == result.backwards.tolist() + [0] * (len(x) - asked)
    assert bool((hook.nearest < torch.inf).all())
    assert hook.training
    assert all(p.grad is None for p in hook.parameters())


@pytest.mark.parametrize("word", ["ddn:steps=500", "pgd:norm=l2,eps=0.5,steps=10", "fab:norm=l2,steps=50", "boundary"])
def test_it_ends_where_the_benchmark_stops_answering(word: str, rows: tuple[Tensor, Tensor]) -> None:
    x, y = rows if word != "boundary" else (rows[0][:1], rows[1][:1])
    hook = CountingModel(vb.models.load("digits-cnn"), x, y, "l2", 60)
    adversarial = vb.attackbench(word, propagations=60)(hook, x, y)
    assert hook.refused == 0
    assert 50 < int((hook.forwards + hook.backwards).max()) <= 60
    torch.testing.assert_close(distances(hook, adversarial), hook.nearest, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("targets", [None, torch.tensor([1, 2, 3, 4])])
def test_answers_beyond_the_bound_are_no_success(targets: Tensor | None, rows: tuple[Tensor, Tensor]) -> None:
    """The benchmark bounds more tightly than the adapter was told."""
    x, y = rows
    hook = CountingModel(vb.models.load("digits-cnn"), x, y, "l2", 20, targets)
    attack = vb.attackbench("ddn:steps=40")
    adversarial = attack(hook, x, y, targets=targets, targeted=targets is not None)
    assert hook.refused > 0
    torch.testing.assert_close(distances(hook, adversarial), hook.nearest, rtol=1e-5, atol=1e-6)


def test_targets(rows: tuple[Tensor, Tensor]) -> None:
    x, y = rows
    targets = (y + 1) % 10
    hook = CountingModel(vb.models.load("digits-cnn"), x, y, "l2", 2000, targets)
    adversarial = vb.attackbench("ddn:steps=30")(hook, x, y, targets=targets, targeted=True)
    assert bool((hook.inner(adversarial).argmax(1) == targets).all())
    torch.testing.assert_close(distances(hook, adversarial), hook.nearest, rtol=1e-5, atol=1e-6)


def test_every_attack_that_fits() -> None:
    """By norm, named for its cache and of one library; batteries, fitted and untargeted ones are not among them."""
    names = {norm: set(vb.attackbench_attacks(norm)) for norm in ("l0", "l1", "l2", "linf")}
    assert {"pgd", "apgd", "fmn", "cia", "square"} <= names["linf"]
    assert {"ddn", "bp", "cw-l2", "fab", "apgd"} <= names["l2"]
    assert {"sigma-zero", "jsma", "fmn"} <= names["l0"]
    assert {"ead", "fmn", "apgd"} <= names["l1"]
    assert not set.union(*names.values()) & {"autoattack", "standard", "universal", "vat", "restarts"}
    one = vb.attackbench("apgd:eps=8/255,steps=20")
    assert (one._attackbench_name, one._attackbench_lib) == ("apgd-eps-8-255-steps-20", "vauban")


def test_mistakes() -> None:
    with pytest.raises(ContractError, match="nearest image"):
        vb.attackbench("autoattack:norm=linf,eps=8/255")
    with pytest.raises(UnknownName, match="l3"):
        vb.attackbench_attacks("l3")
    with pytest.raises(ContractError, match="targets"):
        vb.attackbench("ddn")(
            vb.models.load("digits-cnn"), torch.zeros(1, 1, 8, 8), torch.zeros(1).long(), targeted=True
        )
    with pytest.raises(ContractError, match="propagations"):
        vb.attackbench("ddn", propagations=1)
