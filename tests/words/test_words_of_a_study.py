"""From texts and objects to the six words of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vauban import L1, L2, Linf, attacks, data, defences, threats
from vauban.core.errors import AccessError, ContractError, UnknownName
from vauban.core.losses import LOSSES, margin
from vauban.engine import Attack, Bisection, Cascade, Restarts, StopInside
from vauban.evaluate.batch_size import automatic_batch_size
from vauban.evaluate.estimate import estimate
from vauban.evaluate.study import Study
from vauban.words.attack import attack_of
from vauban.words.defence import defence_of
from vauban.words.files import files_in, load_file
from vauban.words.goal import load as goal_of
from vauban.words.labels import fraction
from vauban.words.model import model_of
from vauban.words.threat import threat_of

DIGITS, MOONS = data.load("digits/test"), data.load("moons")


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("source", [DIGITS, MOONS], ids=lambda d: d.name)
def test_the_data_give_the_budget(norm: str, source: Any) -> None:
    made = attack_of(f"pgd:norm={norm}", source).value
    assert made.ball.norm.name == norm
    assert made.ball.radius == source.budgets[norm]


def test_labels_say_the_budget() -> None:
    assert attack_of("pgd", DIGITS).name == "pgd:eps=51/255"
    assert attack_of("pgd:steps=5,norm=l2", DIGITS).name == "pgd:steps=5,norm=l2,eps=1"
    assert attack_of("pgd:eps=8/255", DIGITS).name == "pgd:eps=8/255"
    assert attack_of("ddn", DIGITS).name == "ddn"
    assert attack_of(attacks.PGD(Linf(8 / 255), steps=7), DIGITS).name == "pgd:norm=linf,eps=8/255,steps=7"
    assert attack_of(attacks.PGD(L2(0.5)), DIGITS).name == "pgd:norm=l2,eps=0.5"
    assert attack_of(Restarts(attacks.PGD(L1(2.0)), 3), DIGITS).name == "restarts:attack=[pgd:norm=l1,eps=2.0],times=3"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8 / 255, "8/255"),
        (0.5, "0.5"),
        (0.1, "0.1"),
        (64 / 255, "64/255"),
        (65 / 255, "0.2549"),
        (0.0, "0"),
        (1.0, "1"),
        (1 / 255, "1/255"),
    ],
)
def test_fractions(value: float, text: str) -> None:
    assert fraction(value) == text


@pytest.mark.parametrize("name", LOSSES)
def test_losses_by_name(name: str) -> None:
    assert attack_of(f"pgd:loss={name}", DIGITS).value.loss is LOSSES[name]


def test_losses_by_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from vauban.core.losses import margin as inner\n"
        "def loss(logits, aim):\n    return inner(logits, aim)\n"
        "class Weighted:\n    def __call__(self, logits, aim):\n        return 2 * inner(logits, aim)\n"
    )
    named = attack_of(f"pgd:steps=2,loss={file}:loss", DIGITS)
    assert named.value.loss.__name__ == "loss"
    assert named.files == (file,)
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    from vauban.core.goals import ResolvedGoal

    goal = ResolvedGoal(torch.tensor([0, 1, 2]))
    doubled = attack_of(f"pgd:loss={file}:Weighted,steps=2", DIGITS).value.loss(logits, goal)
    assert torch.equal(doubled, 2 * margin(logits, goal))


def test_files_in_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.py", "b.py"):
        Path(name).touch()
    assert files_in("a.py:net") == (Path("a.py"),)
    assert files_in("pgd:steps=3,loss=b.py:f") == (Path("b.py"),)
    assert files_in("a.py:f+b.py:g:x=1") == (Path("a.py"), Path("b.py"))
    assert files_in("transfer:sources=[a.py:net][b.py:net]") == (Path("a.py"), Path("b.py"))
    assert files_in("pgd:eps=8/255") == files_in("gone.py:net") == ()


def test_goals() -> None:
    assert [str(goal_of(t)) for t in ("untargeted", "least-likely", "random-wrong", "targeted:3")] == [
        "untargeted",
        "least-likely",
        "random-wrong",
        "targeted:3",
    ]
    for wrong in ("targeted", "targeted:x", "targeted:-1", "least-likely:2", "all"):
        with pytest.raises(UnknownName, match="goal"):
            goal_of(wrong)


def test_objects_without_names_are_called_by_their_class() -> None:
    class Guard:
        def wrap(self, module: nn.Module) -> nn.Module:
            return module

    class Eye:
        def bind(self, *_: Any, **__: Any) -> None:
            return None

    assert defence_of(Guard()).name == "guard"
    assert threat_of(Eye()).name == "eye"
    assert model_of(nn.Linear(2, 2)).name == "linear"
    assert defence_of(defences.load("none")).name == "none"
    assert threat_of(threats.adaptive(eot=4)).name == "adaptive:eot=4"
    for of, wrong in ((defence_of, object()), (threat_of, object()), (attack_of, attacks.Restarts)):
        with pytest.raises(ContractError, match="expected"):
            of(wrong)


def net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def test_mappings_give_names(tmp_path: Path) -> None:
    study = Study(
        tmp_path,
        data="digits/test[:4]",
        models={"m": net()},
        attacks={"a": "pgd:steps=2", "b": attacks.DDN(steps=2)},
        defences={"d": "bit-depth:bits=2"},
        threats={"t": "adaptive"},
    )
    assert [cell.label for cell in study.cells] == ["m | d | t | a", "m | d | t | b"]


def test_two_models_of_one_class_are_numbered(tmp_path: Path) -> None:
    study = Study(tmp_path, data="digits/test[:4]", models=[net(), net()], attacks="fgsm")
    assert [cell.model.name for cell in study.cells] == ["sequential #1", "sequential #2"]


def test_a_card_brings_the_adaptive_threat(tmp_path: Path) -> None:
    study = Study(
        tmp_path, data="digits/test[:4]", models=net(), attacks="fgsm", defences=["none", "jpeg", "gaussian-noise"]
    )
    found = [(cell.defence.name, cell.threat_name) for cell in study.cells]
    assert found == [
        ("none", "white-box"),
        ("jpeg", "white-box"),
        ("jpeg", "adaptive"),
        ("gaussian-noise", "white-box"),
        ("gaussian-noise", "adaptive"),
    ]


def test_a_threat_refuses_by_name(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Mine:
        def bind(self, defended: nn.Module, **given: Any) -> Any:
            return threats.labels_only().bind(defended, levels=given["levels"])

    for threat, allowed in (("labels-only", "hopskipjump"), ("scores-only", "square"), (Mine(), "hopskipjump")):
        with pytest.raises(AccessError, match=allowed):
            Study(tmp_path, data="digits/test[:4]", models=net(), attacks="pgd", threats=[threat])


def test_a_recipe_that_binds_nothing_is_refused(tmp_path: Path) -> None:
    class Eye:
        def bind(self, *_: Any, **__: Any) -> None:
            return None

    with pytest.raises(ContractError, match="NoneType"):
        Study(tmp_path, data="digits/test[:4]", models=net(), attacks="fgsm", threats=[Eye()])


@pytest.mark.parametrize(
    ("shape", "size"), [((1, 8, 8), 256), ((3, 32, 32), 256), ((3, 224, 224), 8), ((2,), 256), ((3, 99, 99), 64)]
)
def test_automatic_batch_sizes(shape: tuple[int, ...], size: int) -> None:
    source = data.dataset.InMemory(torch.zeros(1, *shape))
    assert automatic_batch_size(data.Dataset("z", "", source, torch.zeros(1, dtype=torch.int64), ("a", "b"))) == size


def test_passes_of_combinations() -> None:
    pgd, ddn = attacks.PGD(Linf(0.1), steps=5), attacks.DDN(steps=7)
    assert pgd.passes == (6, 5)
    assert Restarts(pgd, 3).passes == (18, 15)
    assert Bisection(pgd, "eps", 0.1, rounds=4).passes == (24, 20)
    assert StopInside(ddn, L2(1.0)).passes == ddn.passes
    assert Cascade((pgd, Restarts(pgd, 2))).passes == (18, 15)

    class Unknown(Attack):
        def run(self, oracle: Any) -> Any: ...

    assert Unknown().passes is None
    assert Cascade((pgd, Unknown())).passes is None
    assert Restarts(Unknown()).passes is None


@pytest.mark.slow
def test_an_estimate_knows_draws_sources_and_the_budget(tmp_path: Path) -> None:
    def one(**more: Any) -> tuple[int | None, int | None]:
        words = {"data": "digits/test[:4]", "models": net(), "attacks": "pgd:steps=5", **more}
        (found,) = estimate(Study(tmp_path, **words).cells)
        assert found.seconds is not None
        return found.forwards, found.backwards

    assert one() == (6, 5)
    assert one(threats="white-box:draws=3") == (18, 15)
    assert one(budget=4) == (4, 4)
    two = threats.transfer(sources=(net(), net()))
    assert one(threats=[two]) == (12, 10)
    assert one(threats="scores-only", attacks="square:steps=9")[1] == 0


@pytest.mark.parametrize(
    ("line", "error"), [("raise SystemExit(3)", ContractError), ("raise KeyboardInterrupt", KeyboardInterrupt)]
)
def test_a_file_that_stops_half_way_is_never_taken_for_a_whole_one(
    line: str, error: type[BaseException], tmp_path: Path
) -> None:
    file = tmp_path / "net.py"
    file.write_text(f"half = 1\n{line}\nwhole = 2\n")
    for _ in range(2):
        with pytest.raises(error):
            load_file(file)
