"""Network distilled from scores: the loss by hand, what is asked, more than labels teach, by name and in auto."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
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
from vauban.models import black_box
from vauban.threats.distilled import NEVER, FitDistilled, RememberedObjective, finite, tiles
from vauban.threats.fitter import asked
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


@pytest.mark.parametrize("fitter", [FitDistilled, FitSubstitute])
@pytest.mark.parametrize(
    ("student", "told", "asks"),
    [
        ("student:channels=1,classes=4", "to have the 10 classes of the target, got 4", 8),
        ("student:channels=1,classes=12", "to have the 10 classes of the target, got 12", 8),
        ("student", r"student: expected a model that takes torch.float32 images of shape \(1, 1, 8, 8\)", 0),
    ],
)
def test_a_student_that_does_not_fit_costs_little(
    digits_cnn: nn.Module, fitter: type[FitDistilled | FitSubstitute], student: str, told: str, asks: int
) -> None:
    ASKED.clear()
    with pytest.raises(ContractError, match=told):
        fitter(student).fit(Opaque(digits_cnn), models.build(student), [digits(0, 32)])
    assert sum(ASKED) == asks


def test_scores_teach_more_than_labels(digits_cnn: nn.Module) -> None:
    fresh = digits(100, 300)
    agreement = {}
    for fitter in (FitDistilled(STUDENT, rounds=3), FitSubstitute(STUDENT, rounds=3)):
        network = fitted(fitter, digits_cnn)
        same = asked(network, fresh.x).argmax(1) == asked(digits_cnn, fresh.x).argmax(1)
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
    assert ASKED == [8]  # the second one reads what the first one kept
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


def test_a_class_that_is_never_given_stays_below_the_others() -> None:
    inf, nan = torch.inf, torch.nan
    logits = torch.tensor([[-1.0, -inf, -3.0], [nan, 1.0, 2.0], [inf, 1.0, 2.0], [-inf, -inf, -inf], [1.0, 2.0, 3.0]])
    want = [[-1.0, -3.0 - NEVER, -3.0], [0.0] * 3, [0.0] * 3, [0.0] * 3, [1.0, 2.0, 3.0]]
    assert finite(logits).tolist() == want


class Drawing(nn.Module):
    """A network that draws from torch's generator, and tells what it has answered."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.told.append(torch.randn(len(x), 10))
        return self.told[-1]


@pytest.mark.parametrize("fitter", [FitDistilled, FitSubstitute])
def test_random_targets_follow_from_the_seed_and_move_no_generator(fitter: type[FitDistilled | FitSubstitute]) -> None:
    def fit() -> list[Tensor]:
        target = Drawing()
        fitter(STUDENT, rounds=1, epochs=1).fit(target, models.build(STUDENT, 0), [digits(0, 16)])
        return target.told

    before = torch.get_rng_state()
    first = fit()
    assert torch.equal(torch.get_rng_state(), before)
    with seeded("elsewhere"):
        again = fit()
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[1], first[2][:8])  # each round draws anew


def test_a_random_defence_gives_one_cell_twice(tmp_path: Path) -> None:
    def cell() -> str:
        study = vb.Study(
            tmp_path / str(len(list(tmp_path.iterdir()))),
            data="digits/test[:8]",
            models="digits-cnn",
            defences="random-resize",
            attacks="pgd:eps=0.2,steps=2",
            threats=f"substitute:model='{STUDENT}',data='digits/train[300:310]',rounds=1,epochs=1",
        )
        return study.cells[0].hash

    assert cell() == cell()


def study(out: Path, answers: dict[str, Callable[[np.ndarray], np.ndarray]], **more: object) -> vb.Study:
    """A study of black boxes by name under the automatic threat."""
    settings = {"data": "digits/test[:8]", "attacks": "square:eps=0.2,steps=5", "threats": "auto", **more}
    return vb.Study(out, models={name: black_box(fn) for name, fn in answers.items()}, **settings)  # type: ignore[arg-type]


def linear(x: np.ndarray) -> np.ndarray:
    return np.asarray(x.astype(np.float32).reshape(len(x), -1)[:, :10])


def touchy(x: np.ndarray) -> np.ndarray:
    if not np.allclose(x * 255, np.round(x * 255), atol=1e-2):
        raise ValueError("off the grid")
    return linear(x)


def threats_of(made: vb.Study) -> list[tuple[str, str]]:
    return [(cell.model.name, cell.threat_name) for cell in made.cells]


def test_a_way_that_cannot_be_distilled_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = study(tmp_path / "run", {"m": linear, "f": touchy})
    ways = [("m", "auto:queries"), ("m", "auto:distilled(student)"), ("f", "auto:queries")]
    assert threats_of(made) == ways
    (line,) = [record.message for record in caplog.records if "left out" in record.message]
    assert line.startswith("f | none: auto:distilled(student) is left out: expected a model that answers")
    assert line.endswith("failed: ValueError: off the grid")
    assert "distilled" not in made.adapted["f | none"].sentence
    named = f"distilled:model='{STUDENT}',data='digits/train[300:316]',rounds=1"
    with pytest.raises(ContractError, match="ValueError: off the grid"):
        study(tmp_path / "other", {"f": touchy}, threats=named)


def test_what_cannot_be_paid_for_is_not_begun(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = study(tmp_path / "run", {"m": linear}, max_queries_total=200)
    assert threats_of(made) == [("m", "auto:queries")]
    assert "got 199; set a larger --max-queries-total" in caplog.text
    assert made.ledger.sent == 1  # the first look
    named = f"distilled:model='{STUDENT}',data='digits/train[300:316]',rounds=2"
    with pytest.raises(ContractError, match=r"expected 64 images that may still be sent, .* got 60"):
        study(tmp_path / "other", {"m": linear}, threats=named, max_queries_total=60)


def test_a_student_has_the_type_of_the_images(tmp_path: Path) -> None:
    batch = digits(0, 8)
    made = study(tmp_path / "run", {"m": linear}, data=(batch.x.double(), batch.y))
    (student,) = [cell.threat.sources[0][0] for cell in made.cells if "distilled" in cell.threat_name]
    assert {p.dtype for p in student.parameters()} == {torch.float64}


def test_a_kept_student_goes_when_the_target_answers_otherwise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The function reads a file, as one that asks a program does: nothing in its identity tells that it is another."""
    sign, asks = tmp_path / "sign", []

    def answer(x: np.ndarray) -> np.ndarray:
        asks.append(len(x))
        return float(sign.read_text()) * linear(x)

    def student() -> dict[str, Tensor]:
        asks.clear()
        means = RunMeans(None, black_box(answer), tmp_path / "kept", None, "cpu")
        network = means.fit(FitDistilled(STUDENT, rounds=1, epochs=1), digits(0, 16), 0).network
        return {name: tensor.clone() for name, tensor in network.state_dict().items()}

    caplog.set_level(logging.WARNING)
    sign.write_text("1")
    first = student()
    assert sum(asks) == 32
    again = student()
    assert sum(asks) == 8
    assert all(torch.equal(first[name], again[name]) for name in first)
    sign.write_text("-1")
    other = student()
    assert sum(asks) == 8 + 32
    assert "answers differently" in caplog.text
    assert not all(torch.equal(first[name], other[name]) for name in first)
