"""Network distilled from scores: the loss by hand, what is asked, more than labels teach, by name and in auto."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban import attacks, models, threats
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.norms import Linf
from vauban.core.rng import seeded
from vauban.evaluate.adaptation.search import UNKNOWN, look
from vauban.evaluate.attackers_means import RunMeans
from vauban.threats.distilled import FitDistilled, RememberedObjective, scores, tiles
from vauban.threats.substitute import FitSubstitute

STUDENT = "student:channels=1"
ASKED: list[int] = []  # images that an opaque network was asked about; no part of it, which would change its identity


class Opaque(nn.Module):
    """A network that nobody sees into."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        object.__setattr__(self, "network", network)

    def forward(self, x: Tensor) -> Tensor:
        ASKED.append(len(x))
        with torch.no_grad():
            logits: Tensor = self.network(x)
        return logits


def digits(first: int, last: int) -> Batch:
    return vb.data.load(f"digits/test[{first}:{last}]").all()


def fitted(fitter: FitDistilled | FitSubstitute, target: nn.Module, seed: int = 0) -> nn.Module:
    return fitter.fit(target, models.build(fitter.model, seed), [digits(0, 32)], seed=seed).network.eval()


def test_the_objective_is_the_cross_entropy_with_softened_answers_by_id() -> None:
    with seeded("tests", 3):
        answers, network, x = torch.randn(9, 4), nn.Linear(5, 4), torch.rand(3, 5)
    ids = torch.tensor([7, 0, 4])
    batch = Batch(x, torch.zeros(3, dtype=torch.int64), ids, None)
    value, _ = RememberedObjective(nn.Identity(), 3.0, answers)(network, batch, 0)
    q, p = (answers[ids] / 3).softmax(1), (network(x) / 3).softmax(1)
    torch.testing.assert_close(value, -(q * p.log()).sum(1).mean())


def test_signs_in_tiles() -> None:
    moved = tiles(torch.zeros(5, 3, 28, 28), 0, 1)
    assert moved.shape == (5, 3, 28, 28)
    assert set(moved.unique().tolist()) == {-1.0, 1.0}
    blocks = moved.view(5, 3, 7, 4, 7, 4)
    assert bool((blocks == blocks[:, :, :, :1, :, :1]).all())
    assert not torch.equal(moved, tiles(torch.zeros(5, 3, 28, 28), 0, 2))
    assert tiles(torch.zeros(5, 9), 0, 1).shape == (5, 9)


def test_what_is_asked_is_what_is_said(digits_cnn: nn.Module) -> None:
    target, told = Opaque(digits_cnn), []
    ASKED.clear()
    fitter = FitDistilled(STUDENT, rounds=2, epochs=1)
    result = fitter.fit(target, models.build(STUDENT, 0), [digits(0, 32)], callback=told.append)
    assert told == [32, 64, 128]
    assert sum(ASKED) == result.forwards == fitter.asks(32) == 128
    with pytest.raises(ContractError, match="to have the 10 classes of the target, got 4"):
        FitDistilled("student:channels=1,classes=4").fit(
            target, models.build("student:channels=1,classes=4"), [digits(0, 9)]
        )


def test_scores_teach_more_than_labels(digits_cnn: nn.Module) -> None:
    fresh = digits(100, 300)
    agreement = {}
    for fitter in (FitDistilled(STUDENT, rounds=3), FitSubstitute(STUDENT, rounds=3)):
        network = fitted(fitter, digits_cnn)
        same = scores(network, fresh.x).argmax(1) == scores(digits_cnn, fresh.x).argmax(1)
        agreement[type(fitter)] = float(same.double().mean())
    assert agreement[FitDistilled] > agreement[FitSubstitute] + 0.05


def test_auto_distils_a_network_that_nobody_sees_into(digits_cnn: nn.Module, tmp_path: Path) -> None:
    target, batch = Opaque(digits_cnn), digits(0, 32)
    seen = look(target, batch, Linf(0.1))
    assert [way.name for way in seen.ways] == ["auto:distilled(student)"]
    assert [finding.code for finding in seen.findings] == [UNKNOWN.code]  # it was not tried by a pilot
    assert "a network distilled from 1,024 answers was attacked" in seen.sentence
    (way,) = seen.ways
    means = RunMeans(None, target, tmp_path, None, "cpu")
    prepared = way.prepare(means)
    ASKED.clear()
    assert way.prepare(means).sources[0][1] == 1.0
    assert not ASKED  # the second one reads what the first one kept
    result = vb.attack(attacks.PGD(Linf(0.15), steps=20), target, batch, threat=prepared)
    assert float(result.success.double().mean()) > 0.5


def test_a_study_takes_it_by_name(tmp_path: Path) -> None:
    results = vb.Study(
        tmp_path / "run",
        data="digits/test[:8]",
        models="digits-cnn",
        attacks="pgd:eps=0.2,steps=5",
        threats=["distilled:model='student:channels=1',data='digits/train[300:320]',rounds=1,epochs=1"],
        preflight=False,
    ).run(progress=False)
    assert [outcome.state for outcome in results.outcomes] == ["finished"]
    with pytest.raises(ContractError, match="trains the network before the attack"):
        threats.Distilled(STUDENT, "digits/train[:8]").bind(nn.Flatten(), levels=256)
