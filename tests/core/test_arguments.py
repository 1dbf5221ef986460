"""Arguments: whatever a caller writes wrongly is told in one line, by every public function and class."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import vauban as vb
from vauban.core.arguments import NamedArguments, named_arguments
from vauban.core.errors import ContractError, UnknownName


@named_arguments
def walk(x: int, /, steps: int, *, far: bool = False) -> tuple[int, int, bool]:
    return x, steps, far


def test_a_call_that_fits_is_the_call() -> None:
    assert walk(1, 2) == walk(1, steps=2, far=False) == (1, 2, False)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: walk(1, step=2), "unknown parameter of walk: 'step'; did you mean 'steps'"),
        (lambda: walk(1), r"expected steps of walk, got none; write walk\(x=\.\.\., steps=\.\.\.\)"),
        (lambda: walk(1, 2, True), "at most 2 arguments of walk without a name, got 3"),
        (lambda: walk(1, 2, steps=3), "walk: multiple values for argument 'steps'"),
    ],
)
def test_a_call_that_does_not_fit_is_told(call: Callable[[], Any], words: str) -> None:
    with pytest.raises((ContractError, UnknownName), match=words) as refused:
        call()
    assert "\n" not in str(refused.value)


def test_an_error_from_inside_keeps_its_type() -> None:
    @named_arguments
    def inside() -> None:
        walk.__wrapped__(1, 2, 3, 4)  # type: ignore[attr-defined]

    with pytest.raises(TypeError):
        inside()


PUBLIC: dict[str, tuple[Callable[[], Any], str]] = {
    "study": (lambda: vb.Study("r", attack="pgd"), "of Study: 'attack'; did you mean 'attacks'"),
    "study lacks": (lambda: vb.Study("r", models="digits-cnn"), "expected data, attacks of Study"),
    "run": (lambda: vb.Study.run(None, worker=2), "of Study.run: 'worker'; did you mean 'workers'"),
    "report": (lambda: vb.Study.report(None, paths=""), "of Study.report: 'paths'; did you mean 'path'"),
    "attack": (lambda: vb.attack("fgsm", None, None, threats="x"), "of attack: 'threats'; did you mean 'threat'"),
    "attack lacks": (lambda: vb.attack("fgsm", None), "expected batch of attack"),
    "train": (lambda: vb.train(None, devices="x"), "of train: 'devices'; did you mean 'device'"),
    "verify": (lambda: vb.verify(None, None, budg="x"), "of verify: 'budg'; did you mean 'budget'"),
    "an attack": (lambda: vb.attacks.PGD(vb.Linf(0.1), step=3), "of PGD: 'step'; did you mean 'steps'"),
    "an attack of others": (lambda: vb.attacks.Restarts(vb.attacks.DDN(), time=3), "of Restarts: 'time'"),
    "too many": (lambda: vb.attacks.DDN(*range(1, 20)), "at most 8 arguments of DDN"),
    "threat": (lambda: vb.threats.adaptive(eots=3), "of Adaptive: 'eots'; did you mean 'eot'"),
    "defence": (lambda: vb.defences.BitDepth(bit=3), "of BitDepth: 'bit'; did you mean 'bits'"),
    "goal": (lambda: vb.Targeted(labels=3), "parameter of Targeted: 'labels'"),
    "ball": (lambda: vb.Linf(radiu=0.1), "did you mean 'radius'"),
    "ball lacks": (lambda: vb.Linf(), "expected radius of "),
    "batch": (lambda: vb.Batch(image=3), "parameter of Batch: 'image'; known: ids, levels, x, y"),
    "card": (lambda: vb.Card("mine", randomm=True), "did you mean 'random'"),
    "dataset": (lambda: vb.Dataset(nam="x"), "did you mean 'name'"),
    "data": (lambda: vb.data.load("digits/test", roots="x"), "of load: 'roots'; did you mean 'root'"),
    "model": (lambda: vb.models.load("digits-cnn", weight="x"), "of load: 'weight'; did you mean 'weights'"),
    "black box": (lambda: vb.models.black_box(len, clases=3), "of black_box: 'clases'; did you mean 'classes'"),
    "model of a library": (
        lambda: vb.models.load("digits-cnn", pretrained=True),
        "parameter of load: 'pretrained'; known: rejects, weights, word",
    ),
    "metric": (lambda: vb.metrics.ssim(None, None, windw=3), "parameter of ssim: 'windw'; known: x, y"),
    "loss": (lambda: vb.margin(None), r"expected goal of margin, got none; write margin\(logits=\.\.\., goal=\.\.\.\)"),
    "images of a folder": (lambda: vb.data.folder(pth="x"), "parameter of folder: 'pth'; did you mean 'path'"),
    "torch data": (lambda: vb.data.from_torch(None, level=3), "of from_torch: 'level'; did you mean 'levels'"),
    "network behind a mean": (lambda: vb.models.Normalised(None, men=3), "of Normalised: 'men'; did you mean 'mean'"),
    "base": (lambda: vb.InputDefence(), "expected a class that defines apply, got InputDefence itself"),
    "wrapped": (lambda: vb.models.wrap(None, means=3), "of wrap: 'means'; did you mean 'mean'"),
}


@pytest.mark.parametrize("case", PUBLIC)
def test_every_public_call_says_which_name_is_right(case: str) -> None:
    call, words = PUBLIC[case]
    with pytest.raises((ContractError, UnknownName), match=words) as refused:
        call()
    assert "\n" not in str(refused.value)


FACES = (vb, vb.attacks, vb.data, vb.defences, vb.metrics, vb.models, vb.threats)
MADE_BY_US = {"Oracle", "Point", "Result"}  # in the loop of an attack
TYPES = {"Defence", "Metric", "Norm"}  # nobody makes an object of them
CALLABLE = [
    pytest.param(thing, id=f"{face.__name__}.{name}")
    for face in FACES
    for name in dir(face)
    if name not in MADE_BY_US | TYPES and callable(thing := getattr(face, name))
    if not (inspect.isclass(thing) and issubclass(thing, Exception))
]


@pytest.mark.parametrize("thing", CALLABLE)
def test_every_call_of_a_face_that_does_not_fit_is_told_in_one_line(thing: Callable[..., Any]) -> None:
    wrong: list[tuple[tuple[int, ...], dict[str, int]]] = []
    parameters = inspect.signature(thing).parameters.values()
    if not any(p.kind == p.VAR_POSITIONAL for p in parameters):
        wrong.append(((1,) * 40, {}))
    if not any(p.kind == p.VAR_KEYWORD for p in parameters):
        wrong.append(((), {"no_such_name": 1}))
    if any(p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        wrong.append(((), {}))
    for args, given in wrong:
        with pytest.raises((ContractError, UnknownName)) as refused:
            thing(*args, **given)
        assert "\n" not in str(refused.value)


class Plain(NamedArguments):
    def __init__(self, size: int) -> None:
        self.size = size


def test_objects_are_still_copied_and_pickled() -> None:
    assert copy.deepcopy(Plain(3)).size == pickle.loads(pickle.dumps(Plain(3))).size == 3
    with pytest.raises(ContractError, match="expected size of Plain"):
        Plain()  # type: ignore[call-arg]
    ball = vb.Linf(0.5)
    assert pickle.loads(pickle.dumps(ball)).radius == copy.copy(ball).radius == 0.5
