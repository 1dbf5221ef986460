"""The address of a cell changes with everything that can change a row, and with nothing else."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vauban import Linf, attacks, data, defences, models, threats
from vauban.core.losses import cross_entropy
from vauban.core.norms import norm_by_name
from vauban.core.registry import Entry
from vauban.core.rng import seeded
from vauban.evaluate.batch import evaluate_batch
from vauban.evaluate.columns import columns
from vauban.evaluate.study import Study
from vauban.jobs.identity import address, describe, name_of, source_digests, state_digest
from vauban.jobs.provenance import source_files


class Scaled(nn.Module):
    """A linear classifier with a plain attribute, a zero-dimensional weight and a buffer outside the state_dict."""

    def __init__(self, power: float = 1.0) -> None:
        super().__init__()
        with seeded("scaled"):
            self.layer = nn.Linear(64, 10)
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.register_buffer("shift", torch.zeros(10), persistent=False)
        self.power = power

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1)) * self.scale * self.power + self.shift


BASE: dict[str, Any] = {"data": "digits/test[:8]", "models": [Scaled()], "attacks": ["pgd:steps=3,eps=0.1"]}


def key(tmp_path: Path, **changes: Any) -> str:
    (cell,) = Study(tmp_path / "run", **{**BASE, "batch_size": 4, **changes}).cells
    return cell.hash


def changed(change: Callable[[Scaled], object]) -> Scaled:
    net = Scaled()
    with torch.no_grad():
        change(net)
    return net


def next_bit(value: Tensor) -> Tensor:
    return torch.nextafter(value, torch.tensor(math.inf))


DIFFERENT: dict[str, dict[str, Any]] = {
    "steps": {"attacks": ["pgd:steps=4,eps=0.1"]},
    "eps": {"attacks": ["pgd:steps=3,eps=0.1000001"]},
    "norm": {"attacks": ["pgd:steps=3,eps=0.1,norm=l2"]},
    "loss": {"attacks": ["pgd:steps=3,eps=0.1,loss=margin"]},
    "attack": {"attacks": ["bim:steps=3,eps=0.1"]},
    "seed": {"seed": 1},
    "batch size": {"batch_size": 8},
    "slice": {"data": "digits/test[1:9]"},
    "shorter": {"data": "digits/test[:7]"},
    "split": {"data": "digits/train[:8]"},
    "weight, one bit": {"models": [changed(lambda n: n.layer.weight[3, 5].copy_(next_bit(n.layer.weight[3, 5])))]},
    "scalar weight, one bit": {"models": [changed(lambda n: n.scale.copy_(next_bit(n.scale)))]},
    "buffer outside the state": {"models": [changed(lambda n: n.shift.add_(1e-3))]},
    "plain attribute": {"models": [Scaled(power=1.5)]},
    "defence": {"defences": ["bit-depth:bits=3"], "threats": ["white-box"]},
    "threat": {"threats": ["adaptive"]},
    "draws": {"threats": ["white-box:draws=2"]},
    "bpda": {"threats": ["white-box:bpda=layer"]},
    "levels": {"levels": None},
    "budget": {"budget": 50},
    "goal": {"goal": "targeted:3"},
    "another goal": {"goal": "random-wrong"},
    "labels": {"labels": "own"},
}


@pytest.mark.slow
@pytest.mark.parametrize("change", DIFFERENT)
def test_what_can_change_a_row_changes_the_address(change: str, tmp_path: Path) -> None:
    assert key(tmp_path, **DIFFERENT[change]) != key(tmp_path)


def test_a_step_size_that_is_not_given_is_in_no_identity() -> None:
    for make in (attacks.PGD, attacks.BIM, attacks.MIFGSM, attacks.ILLC, attacks.QBIM):
        assert "stepsize" not in str(describe(make(Linf(0.1))))
        assert "abs_stepsize" in str(describe(make(Linf(0.1), abs_stepsize=0.01)))
    assert "alpha" not in str(describe(attacks.RFGSM(Linf(0.1))))


@pytest.mark.slow
def test_every_change_has_an_address_of_its_own(tmp_path: Path) -> None:
    keys = {name: key(tmp_path, **change) for name, change in DIFFERENT.items()}
    assert len(set(keys.values())) == len(keys)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"models": {"another name": BASE["models"][0]}},
        {"attacks": {"mine": "pgd:steps=3,eps=0.1"}},
        {"attacks": ["pgd:eps=0.1,steps=3"]},
        {"attacks": ["pgd:eps=1/10,steps=3,norm=linf"]},
        {"attacks": [attacks.PGD(Linf(0.1), steps=3)]},
        {"defences": [defences.load("none")]},
        {"threats": [threats.white_box()]},
        {"data": data.load("digits/test[:8]")},
        {"save_images": True},
        {"preflight": False},
    ],
    ids=lambda change: next(iter(change)),  # an object's address in a name would differ between test workers
)
def test_what_cannot_change_a_row_does_not_change_the_address(changes: dict[str, Any], tmp_path: Path) -> None:
    assert key(tmp_path / "elsewhere", **changes) == key(tmp_path)


def test_defence_parameters_and_bpda_targets_tell_cells_apart(tmp_path: Path) -> None:
    three, four = ({"defences": [f"bit-depth:bits={bits}"], "threats": ["adaptive"]} for bits in (3, 4))
    assert key(tmp_path, **three) != key(tmp_path, **four)
    deep = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Identity())
    one, two = (key(tmp_path, models=[deep], threats=[threats.white_box(bpda={n: None})]) for n in ("0", "2"))
    assert one != two


def test_every_hyper_parameter_of_an_attack_is_told() -> None:
    for entry in (entry for entry in attacks.registry if not entry.facts.get("combines")):
        takes_ball = "ball" in {f.name for f in dataclasses.fields(entry.make)}
        params: dict[str, Any] = {"ball": norm_by_name(entry.facts["norms"][0])(0.1)} if takes_ball else {}
        if entry.facts.get("fitted"):
            params["v"] = torch.zeros(1, 8, 8)
        attack = entry.build("attack", params)
        for f in dataclasses.fields(attack):
            value = getattr(attack, f.name)
            if f.init and isinstance(value, (int, float)) and not isinstance(value, bool):
                other = describe(attack) | {f.name: describe(value + 1)}
                assert address(other) != address(describe(attack)), f"{entry.name}.{f.name}"


def test_an_address_is_taken_before_the_model_is_called(tmp_path: Path) -> None:
    class Counting(Scaled):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls = self.calls + 1
            return super().forward(x)

    first = Study(
        tmp_path / "a", **{**BASE, "models": [Counting()], "attacks": ["fgsm:eps=0.1", "bim:steps=2,eps=0.1"]}
    )
    planned = [cell.hash for cell in first.cells]
    assert [outcome.job.key for outcome in first.run()] == planned
    again = Study(
        tmp_path / "a", **{**BASE, "models": [Counting()], "attacks": ["fgsm:eps=0.1", "bim:steps=2,eps=0.1"]}
    )
    assert [cell.hash for cell in again.cells] == planned


def test_the_same_words_twice_run_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    study = Study(tmp_path, **{**BASE, "attacks": ["pgd:steps=3,eps=0.1", "pgd:eps=0.1,steps=3"]})
    assert len(study.cells) == 1
    assert "the same as" in caplog.text


def make_loss(weight: float) -> Callable[..., Tensor]:
    def loss(logits: Tensor, goal: Any) -> Tensor:
        return weight * cross_entropy(logits, goal)

    return loss


class Callable2:
    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, logits: Tensor, goal: Any) -> Tensor:
        return self.weight * cross_entropy(logits, goal)


DEFAULTS = [lambda logits, goal, weight=weight: weight * cross_entropy(logits, goal) for weight in (1.0, 2.0)]


def hooked(*factors: float) -> nn.Module:
    """A module whose output is multiplied by each of the factors, by hooks."""
    module = nn.Identity()
    for factor in factors:
        module.register_forward_hook(lambda module, args, output, factor=factor: factor * output)
    return module


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (make_loss(1.0), make_loss(2.0)),
        (functools.partial(torch.add, alpha=1), functools.partial(torch.add, alpha=2)),
        (Callable2(1.0), Callable2(2.0)),
        (Callable2(1.0).__call__, Callable2(2.0).__call__),
        (torch.tensor(0.12345678), torch.tensor(0.12345679)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
        (torch.zeros(4).numpy(), torch.ones(4).numpy()),
        (math.inf, -math.inf),
        (torch.float32, torch.float64),
        tuple(DEFAULTS),
        (hooked(1.0), hooked(2.0)),
        (hooked(1.0), hooked()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_that_behave_differently_are_described_differently(one: Any, two: Any) -> None:
    assert address({"value": describe(one)}) != address({"value": describe(two)})
    assert address({"value": describe(one)}) == address({"value": describe(one)})


def test_no_memory_address_and_no_cycle_in_a_description() -> None:
    net = Scaled()
    net.generator, net.lock, net.me = torch.Generator(), __import__("threading").Lock(), [net]
    assert " 0x" not in str(describe(net))
    assert describe(net) == describe(net)


def test_half_precision_and_boolean_state_is_digested() -> None:
    net = Scaled().to(torch.bfloat16)
    net.register_buffer("mask", torch.tensor([True, False]))
    before = state_digest(net)
    net.mask[1] = True
    assert state_digest(net) != before


def test_sources_hold_bases_helpers_and_what_a_file_imports() -> None:
    files = source_files(attacks.PGD(Linf(0.1)), evaluate_batch, columns)  # the functions that a cell starts from
    names = {f"{path.parent.name}/{path.name}" for path in files}
    assert {
        "fixed_budget/pgd.py",
        "parts/ball_steps.py",
        "engine/iterate.py",
        "core/norms.py",
        "evaluate/batch.py",
        "evaluate/columns.py",
        "metrics/sample.py",
    } <= names
    assert not {"evaluate/study.py", "cli/evaluate.py", "minimal/ddn.py"} & names


def test_an_oracle_is_known_by_the_file_of_its_function() -> None:
    black_box = models.black_box(make_loss)
    assert Path(__file__).resolve() in source_files(black_box)


def test_a_registered_class_is_named_by_its_registry_and_not_by_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    here = dataclasses.make_dataclass("Mine", [], bases=(attacks.PGD,), frozen=True, namespace={"__module__": "a"})
    there = dataclasses.make_dataclass("Yours", [], bases=(attacks.PGD,), frozen=True, namespace={"__module__": "b.c"})
    assert name_of(here) != name_of(there)
    known, described = attacks.registry._entries, []
    for cls in (here, there):
        monkeypatch.setattr(attacks.registry, "_entries", {**known, "mine": Entry("mine", cls, "")})
        described.append(describe(cls(Linf(0.1), steps=3)))
    assert described[0] == described[1]
    assert described[0]["is"] == "attack mine"


@dataclasses.dataclass(frozen=True)
class Knobs:
    """A field without a default, one with, and one whose default is made."""

    must: int
    may: float = 0.5
    several: list[int] = dataclasses.field(default_factory=lambda: [1, 2])


def test_fields_at_their_default_are_left_out_and_changed_ones_are_not() -> None:
    assert set(describe(Knobs(1))) == {"is", "must"}
    assert describe(Knobs(1, 0.5, [1, 2])) == describe(Knobs(1))
    assert describe(Knobs(1), defaults=True) == {**describe(Knobs(1)), "may": 0.5, "several": [1, 2]}
    values = [Knobs(1), Knobs(2), Knobs(1, 0.25), Knobs(1, several=[2, 1])]
    assert len({address(describe(value)) for value in values}) == len(values)


NET = """
import torch
from torch import nn

class Net(nn.Module):
    def forward(self, x):
        return {scale} * torch.arange(640.0).sin().view(10, 64).matmul(x.flatten(1).T).T
"""


def test_classes_of_one_name_in_two_files_differ_and_a_file_that_moves_does_not(tmp_path: Path) -> None:
    def of(folder: str, scale: int) -> str:
        file = tmp_path / folder / "net.py"
        file.parent.mkdir()
        file.write_text(NET.format(scale=scale))
        return key(tmp_path, models=[f"{file}:Net"])

    one, other, moved = of("one", 1), of("other", 2), of("moved", 1)
    assert one != other
    assert one == moved


def test_digests_of_sources_do_not_hold_their_names(tmp_path: Path) -> None:
    for name, content in (("a.py", "X = 1\n"), ("b.py", "X = 1  # one\n"), ("c.py", "X = 2\n")):
        (tmp_path / name).write_text(content)
    a, b, c = ([tmp_path / f"{name}.py"] for name in "abc")
    assert source_digests(a) == source_digests(b) == source_digests(a + b)
    assert source_digests(a) != source_digests(c)
    assert source_digests(a + c) == source_digests(c + b)
