"""Networks that reject images: the last logit is no class, in goals, verdicts, sources, tables and on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from typer.testing import CliRunner

import vauban as vb
from vauban import Linf, attacks, threats
from vauban.attacks.universal.uap import Universal
from vauban.cli.app import app
from vauban.core.cards import Card, Defended, rejecting
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.goals import LeastLikely, RandomWrong, Targeted
from vauban.core.rng import Stream, seeded
from vauban.data.dataset import Dataset, InMemory
from vauban.engine import BoundThreat, Oracle
from vauban.evaluate.shuffled_change import shuffled
from vauban.evaluate.study import Study
from vauban.evaluate.verify import verify
from vauban.models import wrap
from vauban.report.run.page import write
from vauban.report.run.tables import render
from vauban.statistics.summarise import summarise
from vauban.store import load
from vauban.words.model import model_of


class Mean(nn.Module):
    """Class 0 below a mean of one half, class 1 above it, never class 2."""

    def forward(self, x: Tensor) -> Tensor:
        value = 40 * (x.flatten(1).mean(1) - 0.5)
        return torch.stack([-value, value, torch.full_like(value, -50.0)], 1)


class Detector(Mean):
    """A mean above `above`, or neighbours that differ, is rejected; says so on its card unless told otherwise."""

    def __init__(self, above: float = 2.0, smooth: bool = False, declared: bool = True) -> None:
        super().__init__()
        self.above, self.smooth = above, smooth
        self.card = Card("detector", rejects=True) if declared else None

    def forward(self, x: Tensor) -> Tensor:
        bright = 400 * (x.flatten(1).mean(1) - self.above)
        rough = 1000 * (x[..., 1:] - x[..., :-1]).abs().flatten(1).mean(1) - 10
        odd = torch.maximum(bright, rough) if self.smooth else bright
        return torch.cat([super().forward(x), odd[:, None]], 1)


def images(*levels: int) -> Tensor:
    return (torch.tensor(levels).view(-1, 1, 1, 1) / 255).expand(-1, 1, 4, 4)


# Means of 0.2, 0.45 and 0.47 are right, 0.55 is wrong.
X, Y = images(51, 115, 120, 140), torch.tensor([0, 0, 0, 0])
FGSM = attacks.FGSM(Linf(20 / 255))
PGD = attacks.PGD(Linf(20 / 255), steps=8)


def dataset(x: Tensor = X) -> Dataset:
    return Dataset("grey", "", InMemory((x * 255).round().to(torch.uint8)), Y[: len(x)], ("a", "b", "c"))


def test_an_attack_that_is_rejected_has_not_fooled_and_robust_accuracy_agrees() -> None:
    """From 0.45 and 0.47 FGSM goes to 0.53 and 0.55, which is rejected; noise of that size hardly changes the mean."""
    report = vb.attack(FGSM, Detector(above=0.51), (X[:3], Y[:3]))
    assert report.success.tolist() == [False] * 3
    assert report.evaluated.verdict.rejected.tolist() == [0, 1, 1]
    assert report.robust_accuracy == 1
    assert report.rejection == {"clean": 0, "fooled": 0, "fooled_or_rejected": pytest.approx(2 / 3), "noise": 0}
    assert "0 fooled, 66.7% fooled or rejected, 0.0% of noise rejected" in repr(report)


def test_an_attack_knows_what_it_must_exceed() -> None:
    """Between a mean of 0.5 and 0.53 class 1 is accepted: PGD stops there, the first of its steps is beyond."""
    report = vb.attack(PGD, Detector(above=0.53), (X[1:2], Y[1:2]))
    assert report.success.tolist() == [True]
    assert 0.5 < float(report.adversarial.mean()) < 0.53


def test_a_network_that_rejects_any_change_is_shown_up_by_noise() -> None:
    """FGSM moves all pixels alike and fools it; of noise of the same size it rejects everything."""
    report = vb.attack(FGSM, Detector(smooth=True), (X[:3], Y[:3]))
    assert report.success.tolist() == [False, True, True]
    assert report.rejection is not None
    assert report.rejection["noise"] == 1


def test_a_rejected_original_is_an_error_and_can_still_be_fooled() -> None:
    report = vb.attack(PGD, Detector(above=0.15), (X[:1], Y[:1]))  # 0.2 is rejected
    assert report.evaluated.clean.error.tolist() == [1]
    assert report.evaluated.clean.misclassified.tolist() == [0]
    assert (report.robust_accuracy, report.forwards[0] > 0) == (0, True)
    assert report.rejection is not None
    assert (report.rejection["clean"], report.rejection["fooled"]) == (1, 1)


@pytest.mark.parametrize("goal", [LeastLikely(), RandomWrong()])
def test_no_goal_is_to_be_rejected(goal: Any) -> None:
    """The rejection has the smallest logit of all."""
    y = torch.arange(300) % 3
    oracle = Oracle.open(BoundThreat(Detector(above=9.0)), X[:1].expand(300, -1, -1, -1), y, goal)
    assert oracle.goal.rejects
    assert set(oracle.goal.target.tolist()) <= {0, 1, 2}
    assert (oracle.goal.target != y).all()


def test_targets_and_labels_are_classes() -> None:
    with pytest.raises(ContractError, match=r"a target in \[0, 2\]"):
        vb.attack(FGSM, Detector(), (X, Y), goal=Targeted(3))
    with pytest.raises(ContractError, match="last of 4 logits means 'rejected'"):
        vb.attack(FGSM, Detector(), (X, Y + 3))
    assert vb.attack(FGSM, Detector(), (X, Y), goal=Targeted(1)).success.tolist() == [False, True, True, True]


@pytest.mark.parametrize("mark", ["wrap", "argument", "goal"])
def test_a_network_without_a_card(mark: str) -> None:
    bare = Detector(above=0.51, declared=False)
    assert vb.attack(FGSM, bare, (X[:3], Y[:3])).success.tolist() == [False, True, True]  # rejected, and nobody knows
    report = vb.attack(
        FGSM,
        wrap(bare, rejects=True) if mark == "wrap" else bare,
        (X[:3], Y[:3]),
        rejects=mark == "argument",
        goal=vb.Untargeted(rejects=mark == "goal"),
    )
    assert not report.success.any()
    assert report.robust_accuracy == 1


class Fooled(nn.Module):
    """Logits of four classes that are told by the mean: up to `last` of those above a half get the last one."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        mean = x.flatten(1).mean(1)
        low, high = -100 * mean, 100 * (mean - 0.2)
        third = 300 * (mean - 0.5)
        z = torch.stack([low, high, third, torch.full_like(mean, -500.0)], 1)
        return z if self.last == 2 else z[:, [0, 1, 3, 2]]


@pytest.mark.parametrize("last", [2, 3])
def test_without_a_number_of_classes_the_answers_tell(last: int) -> None:
    """Images of the labels 0 and 1 that end in one class: a finding where that is the last one."""
    x = torch.cat([torch.full((4, 1, 4, 4), 0.0), torch.full((4, 1, 4, 4), 0.4)])
    y = torch.tensor([0] * 4 + [1] * 4)

    def codes(model: nn.Module, keep: Tensor, **more: Any) -> list[str]:
        report = vb.attack(vb.attacks.FGSM(vb.Linf(0.7)), model, (x[keep], y[keep]), **more)
        return [f.code for f in report.findings if "rejection" in f.code]

    every, one = torch.arange(8), torch.arange(4)
    assert codes(Fooled(last), every) == (["suspected-rejection"] if last == 3 else [])
    assert codes(Fooled(last), one) == []  # of one class: all of them may well end in one other
    assert codes(Fooled(last), every, rejects=True) == []
    assert codes(Fooled(last), every, goal=f"targeted:{last}") == []


@pytest.mark.slow
def test_one_logit_more_than_classes_is_a_finding(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    report = vb.attack(FGSM, Detector(declared=False), dataset())
    assert [f.code for f in report.findings if f.code == "undeclared-rejection"]
    assert "4 logits from a model on data of 3 classes" in caplog.text
    for rejects, told in ((False, True), (True, False)):
        study = Study(tmp_path, data=dataset(), models={"m": Detector(declared=False)}, attacks=[FGSM], rejects=rejects)
        study.run()
        codes = {f["code"] for f in study.store.cell(study.cells[0].hash).findings()}
        assert ("undeclared-rejection" in codes) is told
    with pytest.raises(ContractError, match="beside the 3 classes"):
        Study(tmp_path / "no", data=dataset(), models={"m": Mean()}, attacks=[FGSM], rejects=True).run()


FIXED = ["fgsm", "pgd", "mi-fgsm", "apgd", "apgd-t", "cia", "illc"]
NEAREST = ["ddn", "fmn", "bp", "deepfool", "cw-l2", "ead", "l-bfgs", "jsma", "sapper", "vanguard"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FIXED + NEAREST)
def test_sources_without_the_column_attack_a_target_with_it(name: str) -> None:
    """A detector that never rejects is the network itself: images and answers are those of the attack on that."""
    with seeded("sources"):
        source = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).requires_grad_(False)
    x = Stream(0, torch.arange(6)).integers("x", 256, (1, 4, 4)) / 255.0
    target = Extended(source)
    y = source(x).argmax(1)
    attack = attacks.registry.get(name).make()
    fields = {key: 6 for key in ("steps", "n_target") if key in getattr(attack, "__dataclass_fields__", {})}
    attack = attacks.registry.get(name).make(**({} if name in ("fgsm",) else fields))
    plain = vb.attack(attack, nn.Sequential(source), (x, y), threat=threats.transfer(source))
    ours = vb.attack(attack, target, (x, y), threat=threats.transfer(source))
    assert ours.evaluated.goal.rejects
    assert ours.crafted.isfinite().all()
    torch.testing.assert_close(ours.crafted, plain.crafted, atol=1e-6, rtol=0)
    assert torch.equal(ours.success, plain.success)
    both = vb.attack(attack, target, (x, y), threat=threats.ensemble([source, target]))
    assert both.crafted.isfinite().all()


class Extended(nn.Module):
    """A network with a last logit for 'rejected', which is never the largest."""

    card = Card("extended", rejects=True)

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        logits = self.inner(x)
        return torch.cat([logits, logits.amin(1, keepdim=True) - 5], 1)


def test_networks_of_other_numbers_of_classes_are_refused() -> None:
    wide = nn.Sequential(nn.Flatten(), nn.Linear(16, 5))
    with pytest.raises(ContractError, match="target's 4 classes"):
        vb.attack(FGSM, Detector(), (X, Y), threat=threats.transfer(wide))
    with pytest.raises(ContractError, match="rejects=True"):
        vb.attack(FGSM, Detector(declared=False), (X, Y), threat=threats.transfer(Mean()))


class Guard(Defended):
    """A defence that adds a logit for 'rejected'."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__(inner, Card("guard", rejects=True))

    def forward(self, x: Tensor) -> Tensor:
        logits = self.inner(x)
        return torch.cat([logits, torch.zeros_like(logits[:, :1]) - 60], 1)


def test_the_network_behind_a_rejecting_defence_gives_gradients_and_is_judged_without_it() -> None:
    for threat in ("gray-box", "removed", "white-box", "adaptive"):
        report = vb.attack(PGD, Guard(Mean()), (X, Y), threat=threat)
        assert report.success.tolist() == [False, True, True, True]
        assert report.evaluated.goal.rejects is (threat != "removed")


def test_deepfool_exceeds_the_rejection_too() -> None:
    """Linear: z = (0.1 - s, s, 0.2): class 1 is given from s = 0.2 on; the margin to class 0 alone ends at 0.05."""

    class Line(nn.Module):
        card = Card("line", rejects=True)

        def forward(self, x: Tensor) -> Tensor:
            s = x.flatten(1)[:, 0]
            return torch.stack([0.1 - s, s, torch.full_like(s, 0.2)], 1)

    x = torch.full((1, 2), 0.01)
    report = vb.attack(attacks.DeepFool(steps=3), Line(), Batch(x, Y[:1], torch.arange(1), levels=None))
    assert report.success.tolist() == [True]
    assert float(report.adversarial[0, 0]) == pytest.approx(0.01 + 1.02 * 0.19, abs=1e-3)


def test_a_fit_takes_no_rejection_for_a_label() -> None:
    """0.55 is rejected: its label is that of the data, and pushing it down makes no wrong answer."""
    net = Detector(above=0.52)
    fitted = Universal(Linf(15 / 255), epochs=2).fit(BoundThreat(net), [Batch(X, Y, torch.arange(4))])
    assert fitted.rate in (0.25, 0.5)  # class 1 is given between 0.5 and 0.52 alone


def test_images_that_somebody_else_made() -> None:
    told = verify(Detector(above=0.54), dataset(), X + 20 / 255, "linf:20/255").as_dict()
    assert (told["clean_accuracy"], told["clean_rejected"]) == (0.75, 0.25)
    assert (told["success"], told["rejected"]) == (0.25, 0.5)  # 0.53; 0.55 and 0.63
    assert (told["robust_accuracy"], told["fooled_or_rejected"]) == (0.5, 0.75)
    assert told["noise_rejected"] <= 0.5
    assert (
        verify(Detector(0.54, declared=False), dataset(), X + 20 / 255, "linf:20/255", rejects=True).as_dict() == told
    )


class Wavering(Detector):
    """By chance class 1 or 'rejected', in a quarter of the draws each where the mean is above 0.5."""

    def __init__(self) -> None:
        super().__init__()
        self.card = Card("wavering", rejects=True, random=True)

    def forward(self, x: Tensor) -> Tensor:
        right = torch.tensor([1.0, 0, 0, 0])
        drawn = torch.eye(4)[torch.tensor([1, 3, 0, 0])[torch.randint(4, ())]]
        return torch.where((x.flatten(1).mean(1) > 0.5)[:, None], drawn, right)


def test_of_several_draws_each_counts_in_every_entry(tmp_path: Path) -> None:
    """Draws that are fooled and draws that are rejected add up, however few either are; the image decides by majority."""
    data = dataset(X[1:3])
    told = verify(Wavering(), data, X[1:3] + 20 / 255, "linf:20/255")
    fooled, refused = told.misclassified, told.rejected
    assert refused is not None
    assert 0 < fooled < 0.5
    assert 0 < refused < 0.5
    assert (told.success, told.fooled_or_rejected) == (0, pytest.approx(fooled + refused))
    assert told.robust_accuracy == pytest.approx(1 - fooled)
    shift = attacks.Foreign(lambda model, x, y: x + 20 / 255, Linf(20 / 255))
    rates = vb.attack(shift, Wavering(), data).rejection
    assert rates is not None
    assert 0 < rates["fooled"] < rates["fooled_or_rejected"] < 1
    Study(tmp_path, data=data, models={"m": Wavering()}, attacks={"shift": shift}, preflight=False).run()
    (cell,) = load(tmp_path).cells
    stored = summarise(cell.columns, "linf")
    assert stored.fooled_or_rejected.value == pytest.approx(rates["fooled_or_rejected"])
    assert stored.misclassified.value == pytest.approx(rates["fooled"])


def test_tables_pages_and_rows(tmp_path: Path) -> None:
    Study(tmp_path, data=dataset(), models={"m": Detector(above=0.53)}, attacks={"fgsm": FGSM}).run()
    run = load(tmp_path)
    columns = run.cells[0].columns
    assert columns["clean_rejected"].tolist() == [0, 0, 0, 1]
    assert columns["rejected"].tolist() == [0, 0, 1, 0]  # the last is darker now, and given its own class
    assert columns["clean_correct"].tolist() == [1, 1, 1, 0]
    assert columns["misclassified"].tolist() == [0, 1, 0, 0]
    assert run.cells[0].meta["rejects"] is True
    for text in (render(run), write(tmp_path).read_text()):
        assert "1 image rejected before any attack, counted as misclassified" in text
        assert "of 3 images with a right answer 33.3\u00a0% fooled, 66.7\u00a0% fooled or rejected" in text
        assert "noise of the same size 0.0\u00a0% rejected" in text
    assert "50.0\u00a0% [" in render(run)  # robust accuracy over the four: right, and not fooled
    raw = dict(zip(*(line.split(",") for line in render(run, "csv").splitlines()[:2]), strict=False))
    assert float(raw["fooled_or_rejected"]) == pytest.approx(2 / 3)


def test_a_network_that_rejects_nothing_has_no_such_columns(tmp_path: Path) -> None:
    Study(tmp_path, data=dataset(), models={"m": Mean()}, attacks={"fgsm": FGSM}).run()
    run = load(tmp_path)
    assert np.isnan(run.cells[0].columns["rejected"]).all()
    assert "rejected" not in render(run)


def test_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n\nclass Net(nn.Module):\n    def forward(self, x):\n"
        "        z = x.flatten(1)[:, :2]\n        return torch.cat([z, z[:, :1] * 0 + 9], 1)\n"
    )
    (tmp_path / "run").mkdir()
    words = ["evaluate", "--model", f"{tmp_path}/net.py:Net", "--data", "moons[:8]", "--attack", "fgsm:eps=0.1"]
    told = CliRunner().invoke(app, [*words, "--rejects", "--out", str(tmp_path / "run")])
    assert told.exit_code == 0, told.output
    assert "8 images rejected before any attack" in " ".join(told.output.split())


def test_marking_a_model_keeps_one_that_says_so_itself() -> None:
    detector, plain = Detector(), Mean()
    assert model_of(detector, rejects=True).value is detector
    marked = model_of(plain, rejects=True).value
    assert rejecting(marked)
    assert not rejecting(plain)
    assert torch.equal(marked(X), plain(X))


@given(seed=st.integers(0, 10**6), masked=st.booleans())
def test_shuffled_changes_have_the_size_of_the_change(seed: int, masked: bool) -> None:
    stream = Stream(seed, torch.arange(3))
    x = (64 + stream.integers("x", 128, (2, 3, 3))) / 255.0
    mask = stream.integers("m", 2, (2, 3, 3)) > 0 if masked else None
    change = (stream.integers("d", 101, (2, 3, 3)) - 50) / 255.0 * (1 if mask is None else mask)
    noisy = shuffled(x, x + change, stream, mask)
    sizes = [(d != 0).flatten(1).sum(1) for d in (noisy - x, change)]
    assert torch.equal(*sizes)
    torch.testing.assert_close(*((noisy - x).abs().flatten(1).sort(1).values, change.abs().flatten(1).sort(1).values))
    assert mask is None or torch.equal(noisy[~mask], x[~mask])
    assert ((noisy * 255) - (noisy * 255).round()).abs().max() < 1e-4


def test_the_score_of_a_detector_and_the_class_behind_it_are_judged() -> None:
    """0.45 and 0.47 go to 0.53 and 0.55, class 1, rejected by 400 (mean - 0.51) - 40 (mean - 0.5) once that is positive."""
    report = vb.attack(FGSM, Detector(above=0.51), (X[:3], Y[:3]))
    verdict = report.evaluated.verdict
    means = report.crafted.flatten(1).mean(1).double()
    expected = 400 * (means - 0.51) - (40 * (means - 0.5)).abs()
    assert torch.allclose(verdict.excess, expected, atol=1e-3)
    assert verdict.class_reached.tolist() == [0, 1, 1]
    strict, loose = report.operating_point(0.0), report.operating_point(0.5)
    assert (strict.success.value, loose.success.value) == (0, 0)
    assert loose.threshold < strict.threshold
    with pytest.raises(ContractError, match="network that rejects images"):
        vb.attack(FGSM, Mean(), (X[:3], Y[:3])).operating_point(0.05)


def test_operating_points_stand_in_the_report_and_in_tables(tmp_path: Path) -> None:
    Study(tmp_path, data=dataset(), models={"m": Detector(above=0.53)}, attacks={"fgsm": FGSM, "pgd": PGD}).run()
    run = load(tmp_path)
    text = render(run)
    assert "False positives" in text
    assert "any of these" in text
    page = write(tmp_path).read_text()
    assert 'id="detection"' in page
    assert "Detections against false positives" in page
    raw = render(run, "csv").splitlines()
    head = next(line for line in raw if "wanted_false_positives" in line)
    assert sum("0.05" in line for line in raw[raw.index(head) :]) >= 2
    assert r"\begin{tabular}" in render(run, "latex")
