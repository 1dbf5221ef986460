"""Names inside names: networks, defences and attacks in brackets, networks behind defences, and combinators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import vauban as vb
from vauban.core.errors import ContractError, UnknownName
from vauban.core.losses import cross_entropy
from vauban.core.norms import L2, Linf
from vauban.engine import Bisection, Cascade, Restarts
from vauban.evaluate.study import Study
from vauban.words.attack import attack_of
from vauban.words.fitter import fitter_of
from vauban.words.threat import threat_of

DIGITS = vb.data.load("digits/test[:6]")


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    """A file with a network, a combinator of its own and a defence."""
    file = tmp_path / "nets.py"
    file.write_text(
        "import torch\nfrom torch import nn\n"
        "torch.manual_seed(3)\n"
        "net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
        "def halved(module):\n"
        "    return nn.Sequential(Half(), module)\n"
        "class Half(nn.Module):\n"
        "    def forward(self, x):\n        return x / 2\n"
    )
    return file


def test_budgets_reach_into_brackets() -> None:
    made = attack_of("restarts:attack=[pgd:steps=7],times=3", DIGITS)
    assert made.value == Restarts(vb.attacks.PGD(Linf(DIGITS.budgets["linf"]), steps=7), 3)
    assert made.name == "restarts:attack=[pgd:steps=7],times=3"
    made = attack_of("cascade:attacks=[pgd:norm=l2][restarts:attack=[fgsm:eps=0.1],times=2]", DIGITS)
    assert isinstance(made.value, Cascade)
    first, second = made.value.attacks
    assert first.ball == L2(DIGITS.budgets["l2"])
    assert second == Restarts(vb.attacks.FGSM(Linf(0.1)), 2)


def test_minimal_eps_starts_at_the_radius_and_doubles() -> None:
    made = vb.attacks.load("minimal-eps:attack=[pgd:eps=0.1,steps=3],rounds=4")
    assert made == Bisection(vb.attacks.PGD(Linf(0.1), steps=3), "eps", start=0.1, rounds=4, growth=2.0)
    assert vb.attacks.load("minimal-eps:attack=[fgsm:eps=0.1],start=0.5,growth=3").growth == 3


def test_labels_of_objects_are_read_back() -> None:
    pgd = vb.attacks.PGD(Linf(8 / 255), steps=7)
    ce = vb.attacks.PGD(Linf(1 / 3), loss=cross_entropy)
    for attack in (pgd, ce, Restarts(pgd, 3), Cascade((pgd, Restarts(vb.attacks.FGSM(L2(0.5)))))):
        label = attack_of(attack).name
        assert attack_of(label).value == attack, label


def test_a_loss_by_file_in_brackets(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from vauban import margin\n\ndef loss(logits, goal):\n    return margin(logits, goal)\n")
    made = attack_of(f"restarts:attack=[pgd:loss={file}:loss,steps=2]", DIGITS)
    assert made.value.attack.loss.__name__ == "loss"
    assert made.files == (file,)


def test_networks_and_defences_of_threats(nets: Path) -> None:
    made = threat_of(f"transfer:sources=[{nets}:net][bit-depth:bits=1|digits-cnn],weights=none")
    first, second = made.value.sources
    assert isinstance(first, nn.Sequential)
    assert second.card.name == "bit-depth"
    assert made.files == (nets,)
    hybrid = vb.threats.load("hybrid:models=[digits-cnn],path=[jpeg:quality=75+bit-depth:bits=3],b=2")
    assert hybrid.path == vb.defences.chain(vb.defences.JPEG(75), vb.defences.BitDepth(3))
    assert hybrid.b == 2
    given = vb.threats.load("transfer", sources=(first,))
    assert given.sources == (first,)


def test_a_network_behind_defences_is_the_defended_one(nets: Path) -> None:
    x, net = DIGITS.all().x, vb.models.load(f"{nets}:net")
    torch.testing.assert_close(vb.models.load(f"{nets}:halved|{nets}:net")(x), net(x / 2))
    chained = vb.models.load(f"bit-depth:bits=1+mean-filter|{nets}:net")
    outermost_first = vb.models.load(f"bit-depth:bits=1|mean-filter|{nets}:net")
    expected = vb.defences.BitDepth(1).wrap(vb.defences.MeanFilter().wrap(net))
    torch.testing.assert_close(chained(x), expected(x))
    torch.testing.assert_close(outermost_first(x), expected(x))


@pytest.mark.parametrize(
    ("kind", "text", "error", "words"),
    [
        ("attack", "restarts:attack=[pgd:eps=0.1][fgsm]", ContractError, "one attack for attack, got 2"),
        ("attack", "restarts:times=3", ContractError, "needs attack; write restarts:attack"),
        ("attack", "pgd:eps=[0.1]", ContractError, "eps"),
        ("attack", "pgd:eps=0.1,steps=[3]", ContractError, "steps, which names nothing"),
        ("attack", "restarts:attack=[pgd:eps=0.1", ContractError, r"a \] for each \["),
        ("attack", "cascade:attacks=[pdg]", UnknownName, "did you mean .*'pgd'"),
        ("attack", "minimal-eps:attack=[ddn]", ContractError, "inside a ball"),
        ("attack", "restarts:attack=pgd,times=5,steps=10", ContractError, "eps="),
        ("threat", "transfer:sources=[absent.py:net]", ContractError, "does not exist"),
        ("defence", "jpeg:quality=[75]", ContractError, "quality, which names nothing"),
        ("model", "|digits-cnn", ContractError, "each side of the bar"),
        ("modle", "digits-cnn", UnknownName, "did you mean 'model'"),
    ],
)
def test_errors(kind: str, text: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        vb.load(kind, text)


def labels(tmp_path: Path, **words: Any) -> list[tuple[str, str]]:
    study = Study(tmp_path, data="digits/test[:4]", attacks="fgsm", threats="white-box", **words)
    return [(cell.model.name, cell.defence.name) for cell in study.cells]


def test_a_model_behind_a_defence_is_the_two_words_of_a_cell(tmp_path: Path) -> None:
    models = ["digits-cnn", "bit-depth:bits=2|digits-cnn", "bit-depth:bits=2|mean-filter|digits-cnn"]
    assert labels(tmp_path, models=models) == [
        ("digits-cnn", "none"),
        ("digits-cnn", "bit-depth:bits=2"),
        ("digits-cnn", "bit-depth:bits=2+mean-filter"),
    ]
    assert labels(tmp_path, models={"mine": models[1]}) == [("mine", "bit-depth:bits=2")]
    one, two = (
        Study(tmp_path, data="digits/test[:4]", attacks="fgsm", threats="white-box", **words).cells[0].hash
        for words in ({"models": models[1]}, {"models": "digits-cnn", "defences": "bit-depth:bits=2"})
    )
    assert one == two
    with pytest.raises(ContractError, match="got both; leave one out"):
        labels(tmp_path, models=models[1], defences="mean-filter")


def test_strings_are_taken_wherever_an_object_is() -> None:
    by_name = vb.attack("pgd:steps=3", "digits-cnn", "digits/test[:6]", threat="adaptive", goal="targeted:3")
    attack = vb.attacks.PGD(Linf(DIGITS.budgets["linf"]), steps=3)
    model = vb.models.load("digits-cnn")
    by_object = vb.attack(attack, model, DIGITS.all(), threat=vb.threats.adaptive(), goal=vb.Targeted(3))
    assert torch.equal(by_name.crafted, by_object.crafted)
    assert len(by_name.success) == 6
    with pytest.raises(ContractError, match="expected eps="):
        vb.attack("pgd", model, DIGITS.all())


def test_a_detector_that_learns_from_an_attack_learns_from_fgsm_at_the_budget_of_the_data() -> None:
    data = vb.data.load("digits/train[:8]")
    usual = fitter_of("outlier-class", data).value
    assert usual.attack == attack_of("fgsm", data).value  # type: ignore[union-attr]
    other = fitter_of("outlier-class:attack=[pgd:eps=0.1]", data).value
    assert other.attack == attack_of("pgd:eps=0.1").value  # type: ignore[union-attr]
