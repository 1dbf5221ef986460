"""Wrong objects in the place of words: one line that names what was expected, from Python too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vauban as vb
from vauban.core.errors import VaubanError
from vauban.engine import Bisection
from vauban.training.objectives.adversarial import AdversarialTraining
from vauban.words.defence import defence_of

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "attack as a class": ({"attack": vb.attacks.Restarts}, "got the class Restarts; call it: Restarts(attack=...)"),
    "attack as a class of defaults": (
        {"attack": vb.attacks.PGD},
        "got the class PGD; call it: PGD(ball=..., steps=...), or PGD() for its defaults",
    ),
    "attack that is a network": ({"attack": "network"}, "an object of type Sequential"),
    "model that is nothing": ({"model": None}, "expected a model as an nn.Module or its name, got None"),
    "goal as a number": ({"goal": 3}, "expected a goal or its name, such as targeted:3, got 3"),
    "defence for a threat": (
        {"threat": vb.defences.BitDepth(bits=2)},
        "bind(module, ...), got an object of type BitDepth",
    ),
    "combination of nothing": ({"attack": "restarts"}, "attack 'restarts' needs attack; write restarts:attack="),
    "threat without networks": ({"threat": "hybrid"}, "threat 'hybrid' needs models, path; write hybrid:"),
    "no name": ({"attack": ""}, "unknown attack ''; expected one of apgd, "),
    "no name in a bracket": ({"attack": "restarts:attack=[]"}, "unknown attack ''; expected one of apgd, "),
    "no name in a chain": ({"model": "bit-depth+|digits-cnn"}, "unknown defence ''; expected one of "),
    "parameter of a thing without any": ({"model": "digits-cnn:foo=1"}, "'foo'; there is none"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_object_is_named_in_one_line(case: str) -> None:
    given, message = WRONG[case]
    network = vb.models.load("digits-cnn")
    words = {"attack": "fgsm:eps=0.1", "model": network, **given}
    if words["attack"] == "network":
        words["attack"] = network
    with pytest.raises(VaubanError) as error:
        vb.attack(words.pop("attack"), words.pop("model"), vb.data.load("digits/test[:2]"), **words)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


METRIC = '''
import vauban


@vauban.metrics.registry.register("kept", unit="1", direction="higher", aggregate="mean", reads="pair")
def kept(x0, x):
    """Share of components that stay."""
    return (x0 == x).double().flatten(1).mean(1)


@vauban.metrics.registry.register("constant", unit="1", direction="higher", aggregate="mean", reads="pair")
def constant(x0, x):
    """No value per image."""
    return 3


def unknown(x0, x):
    return kept(x0, x)
'''


def _study(metric: str, folder: Path) -> vb.Study:
    given = {"models": "digits-cnn", "attacks": "fgsm:eps=0.3", "data": "digits/test[:8]"}
    return vb.Study(folder / "run", **given, metrics=[metric], preflight=False)  # type: ignore[arg-type]


@pytest.fixture
def own_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user's file registers is gone again after the test."""
    vb.metrics.registry.names()
    monkeypatch.setattr(vb.metrics.registry, "_entries", dict(vb.metrics.registry._entries))


@pytest.mark.usefixtures("own_metrics")
def test_a_metric_in_a_users_file_becomes_a_column(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"{METRIC}# {tmp_path}\n")
    study = _study(f"{file}:kept", tmp_path)
    study.run()
    from vauban.store import query

    cell = query.load(tmp_path / "run").cells[0]
    won, column = cell.columns["success"], cell.columns["kept"]
    assert all((value is None or value != value) == (not share) for value, share in zip(column, won, strict=True))
    assert any(0 <= value < 1 for value, share in zip(column, won, strict=True) if share)


@pytest.mark.usefixtures("own_metrics")
@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("mine.py:unknown", "to be registered, so that tables know its unit and direction"),
        ("mine.py:constant", "to give one value per image, (1,) for one image, got 3"),
        ("lpips", "lpips needs weights"),
    ],
)
def test_a_metric_is_tried_before_anything_is_spent(tmp_path: Path, metric: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(f"{METRIC}# {tmp_path}\n")
    with pytest.raises(VaubanError, match=r".") as error:
        _study(f"{tmp_path}/{metric}" if ".py" in metric else metric, tmp_path)
    assert message in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_metric_of_every_row_is_no_further_one(tmp_path: Path) -> None:
    assert _study("l2", tmp_path).settings.metrics == ()


def test_a_budget_without_a_radius_is_said_to_be_one() -> None:
    with pytest.raises(VaubanError, match=r"PGD\(vb.Linf\(...\)\), got Linf without one"):
        vb.attacks.PGD(vb.Linf)  # type: ignore[arg-type]


CLASSES = {
    "minimal": lambda: vb.load("attack", vb.attacks.DDN),
    "black box": lambda: vb.load("attack", vb.attacks.Square),
    "smooth": lambda: vb.load("attack", vb.attacks.QPGD2),
    "battery": lambda: vb.load("attack", vb.attacks.Standard),
    "of a study": lambda: vb.Study(
        "unused", data="digits/test[:2]", models="digits-cnn", attacks={"a": vb.attacks.PGD}
    ),
    "repeated": lambda: vb.attacks.Restarts(vb.attacks.PGD),  # type: ignore[arg-type]
    "in a cascade": lambda: vb.attacks.Cascade((vb.attacks.PGD,)),  # type: ignore[arg-type]
    "searched": lambda: Bisection(vb.attacks.PGD, parameter="eps"),  # type: ignore[arg-type, type-var]
    "wrapped as foreign": lambda: vb.attacks.Foreign(vb.attacks.PGD),  # type: ignore[arg-type]
    "trained against": lambda: AdversarialTraining(attack=vb.attacks.PGD),  # type: ignore[arg-type]
    "recipe": lambda: vb.train("digits-cnn", "digits/train[:16]", recipe=AdversarialTraining),  # type: ignore[arg-type]
    "defence": lambda: defence_of(vb.defences.BitDepth),
}


@pytest.mark.parametrize("place", CLASSES)
def test_a_class_with_parameters_is_not_taken_at_its_defaults(place: str) -> None:
    with pytest.raises(VaubanError, match=r"got .*(the class \w+;|PGD)") as error:
        CLASSES[place]()
    assert "\n" not in str(error.value)


def test_a_list_in_the_place_of_a_tuple_is_told_so() -> None:
    with pytest.raises(VaubanError, match="write a tuple of them"):
        vb.attacks.Cascade([vb.attacks.PGD(vb.Linf(0.1))])  # type: ignore[arg-type]


def test_goals_and_threats_may_be_classes() -> None:
    assert vb.load("threat", vb.threats.white_box) == vb.threats.white_box()
    assert vb.load("goal", vb.RandomWrong) == vb.RandomWrong()


def test_a_function_is_no_defence_object(tmp_path: Path) -> None:
    with pytest.raises(VaubanError, match=r"got the function <lambda>; .* named by its file") as error:
        vb.Study(tmp_path, data="digits/test[:2]", models="digits-cnn", attacks="fgsm", defences={"id": lambda x: x})
    assert " at 0x" not in str(error.value)


def test_a_letter_turned_in_eps_is_near_eps() -> None:
    with pytest.raises(VaubanError, match="did you mean 'eps'"):
        vb.attack("pgd:esp=0.1", "digits-cnn", "digits/test[:2]")
