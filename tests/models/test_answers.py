"""What a black box tells: never more than is declared, and always the label that was answered."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import one_hot

import vauban as vb
from vauban.core.errors import AccessError, ContractError
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import margin
from vauban.models.answers import Answers

Z = torch.randn(400, 6, generator=torch.Generator().manual_seed(1)).double() * 2
P = Z.softmax(1)


def test_probabilities_are_their_logarithms() -> None:
    told = Answers("probabilities").logits(P, len(P), "net")
    torch.testing.assert_close(told.softmax(1), P)


@pytest.mark.parametrize("kind", ["scores", "probabilities"])
@pytest.mark.parametrize("top", [2, 3])
def test_the_largest_scores_alone_are_told(kind: str, top: int) -> None:
    answer = Z if kind == "scores" else P
    told = Answers(kind, top=top).logits(answer, len(Z), "net")  # type: ignore[arg-type]
    order = Z.argsort(1, descending=True)
    full = Z if kind == "scores" else P.log()
    torch.testing.assert_close(told.gather(1, order[:, :top]), full.gather(1, order[:, :top]))
    hidden = told.gather(1, order[:, top:])
    assert bool((hidden == hidden[:, :1]).all())  # nothing of their order
    goal = ResolvedGoal(order[:, 0])
    torch.testing.assert_close(margin(told, goal), margin(full, goal))  # exact until the label falls
    if kind == "probabilities":  # what is left of 1 is shared
        capped = (P.gather(1, order[:, top:]).sum(1) / (6 - top)).minimum(P.gather(1, order[:, top - 1 : top])[:, 0])
        torch.testing.assert_close(hidden[:, 0].exp(), capped)


def test_one_probability_still_leads() -> None:
    told = Answers("probabilities", top=1).logits(P, len(P), "net")
    top = P.amax(1)
    gap = (told.sort(1).values[:, -1] - told.amin(1)).exp()
    torch.testing.assert_close(gap, (top / ((1 - top) / 5).minimum(top)).clamp_min(1 + 0.0))


@pytest.mark.parametrize("kind", ["scores", "probabilities"])
@pytest.mark.parametrize("digits", [0, 1, 3])
def test_rounding_changes_no_label_and_tells_no_more(kind: str, digits: int) -> None:
    answer = Z if kind == "scores" else P
    told = Answers(kind, digits=digits).logits(answer, len(Z), "net")  # type: ignore[arg-type]
    assert torch.equal(told.argmax(1), Z.argmax(1))
    rounded = answer.round(decimals=digits)
    seen = rounded if kind == "scores" else rounded.clamp_min(0.5 * 10.0**-digits).log()
    assert float((told - seen).abs().max()) < 1e-4
    assert bool(told.isfinite().all())


def test_labels_alone() -> None:
    assert torch.equal(Answers("labels").logits(P, len(P), "net"), one_hot(P.argmax(1), 6).double())


def test_goals_and_targets_that_need_what_is_not_told() -> None:
    box = vb.models.black_box(lambda x: 9 * x.flatten(1)[:, 24:34], takes="torch", top=3)
    batch = vb.data.load("digits/test[:8]").all()
    with pytest.raises(AccessError, match="needs the score of every class"):
        vb.attack("square:eps=0.1,steps=2", box, batch, goal="least-likely")
    report = vb.attack("square:eps=0.1,steps=2", box, batch, goal="random-wrong")
    assert len(report.success) == 8


@pytest.mark.parametrize(
    ("answers", "says"),
    [({"kind": "probabilities"}, "sum to 1"), ({"top": 6}, "below the 6 classes"), ({"classes": 5}, "5 scores")],
)
def test_answers_that_contradict(answers: dict[str, object], says: str) -> None:
    with pytest.raises(ContractError, match=says):
        Answers(**answers).logits(Z, len(Z), "net")  # type: ignore[arg-type]
