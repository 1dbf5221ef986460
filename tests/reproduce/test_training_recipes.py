"""Networks that a scale trains: once, kept by content, reused, started from others."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.clocks import set_clock

from vauban import data, models
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.errors import ContractError
from vauban.core.norms import Linf
from vauban.evaluate.train import train
from vauban.jobs.perform import file_of_artefact, obtain
from vauban.reproduce import Craft, Experiment, Judge, Scale, TableCell, TrainingRun, WeightedNetwork, reproduce
from vauban.reproduce.networks import Networks
from vauban.reproduce.training import TrainedNetworks
from vauban.reproduce.training_seeds import seeded_cells, seeded_recipes, trained_again
from vauban.store import files
from vauban.training.augmentation.epoch_adversarial import EpochAdversarial
from vauban.training.objectives.adversarial import AdversarialTraining

NETS = Path(__file__).with_name("nets.py")
BASE = TrainingRun(f"{NETS}:FitWorker", "digits/train[:60]", 2, batch=20, lr=0.01, holdout=0)
NEXT = replace(BASE, epochs=1, start="base", optimiser="sgd")
AGAINST = replace(BASE, epochs=2, recipe=EpochAdversarial(PGD(Linf(0.1), steps=2)))


def trainer(folder: Path, specs: dict[str, str] | None = None, **recipes: TrainingRun) -> TrainedNetworks:
    return TrainedNetworks(folder, recipes, specs or {})


def weights(trained: TrainedNetworks, role: str, tell: Callable[[int, int], None] = lambda *_: None) -> Path:
    """The file of a role, made with all that it starts from."""
    for need in trained[role].needs():
        weights(trained, need.role)  # type: ignore[attr-defined]
    obtain(trained[role], tell)
    return file_of_artefact(trained[role])


def state(path: Path) -> dict[str, torch.Tensor]:
    return dict(models.load(BASE.model, path).state_dict())


def same(a: Path, b: Path) -> bool:
    one, other = state(a), state(b)
    return all(torch.equal(one[name], other[name]) for name in one)


def test_trained_once_as_by_train(tmp_path: Path) -> None:
    """The file is what `train` writes of the same run; progress counts images seen."""
    told: list[tuple[int, int]] = []
    path = weights(trainer(tmp_path / "a", base=BASE), "base", lambda *counts: told.append(counts))
    assert told == [(0, 120), (60, 120), (120, 120)]
    train(BASE, data.load(BASE.data), tmp_path / "b.safetensors")
    assert same(path, tmp_path / "b.safetensors")
    stamp = path.stat().st_mtime_ns
    again = trainer(tmp_path / "a", other=replace(BASE, minutes=7.0))  # neither role nor minutes change a network
    assert weights(again, "other", lambda *counts: told.append(counts)) == path
    assert (len(told), path.stat().st_mtime_ns) == (3, stamp)


def test_what_changes_a_network_changes_its_file(tmp_path: Path) -> None:
    others = {
        "lr": replace(BASE, lr=0.02),
        "seed": replace(BASE, seed=1),
        "data": replace(BASE, data="digits/train[:80]"),
        "adversarial": replace(BASE, recipe=AdversarialTraining(PGD(Linf(0.1), steps=2))),
        "decay": replace(BASE, weight_decay=1e-2),
        "holdout": replace(BASE, holdout=0.5),
        "epoch": AGAINST,
        "next": NEXT,
        "next2": replace(NEXT, start="lr"),
    }
    trained = trainer(tmp_path, base=BASE, **others)
    paths = {role: weights(trained, role) for role in trained.recipes}
    assert len(set(paths.values())) == len(paths)
    assert not same(paths["adversarial"], paths["epoch"])
    assert not same(paths["decay"], weights(trainer(tmp_path, base=BASE), "base"))


def test_started_from_a_recipe_or_a_file(tmp_path: Path) -> None:
    trained = trainer(tmp_path, base=BASE, next=NEXT)
    path = weights(trained, "next")  # trains the one it starts from too
    base = weights(trained, "base")
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    from_file = trainer(tmp_path, {"base": f"{BASE.model}:weights={base}"}, next=NEXT)
    assert same(weights(from_file, "next"), path)
    train(replace(NEXT, start=str(base)), data.load(BASE.data), tmp_path / "b.safetensors")
    assert same(path, tmp_path / "b.safetensors")


def test_a_start_of_other_bytes_than_were_trained_is_refused(tmp_path: Path) -> None:
    trained = trainer(tmp_path, base=BASE, next=NEXT)
    base = weights(trained, "base")
    base.write_bytes(base.read_bytes()[:-1] + b"x")
    with pytest.raises(ContractError, match="expected the file that was made for training base, got other bytes"):
        obtain(trained["next"])


def test_starts_that_do_not_hold(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="circle: a > b > a"):
        _ = trainer(tmp_path, a=replace(BASE, start="b"), b=replace(BASE, start="a"))["a"]
    with pytest.raises(ContractError, match="weights=FILE"):
        _ = trainer(tmp_path, {"base": "mnist-c4"}, next=NEXT)["next"]
    with pytest.raises(ContractError, match="each role once, got 'base'"):
        Networks({"base": "x"}, recipes={"base": BASE})


def test_a_second_process_waits_for_the_one_that_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another holds the lock it sleeps; then it takes what the other has made, or trains where nothing was."""
    trained = trainer(tmp_path, base=BASE)
    path = weights(trained, "base")
    kept = path.read_bytes()
    for other, images in ((lambda: path.write_bytes(kept), 0), (lambda: None, 120)):
        path.unlink()
        naps: list[float] = []
        with contextlib.ExitStack() as holding:
            assert holding.enter_context(files.lock(path.with_name(f".{path.name}.lock")))

            def nap(seconds: float, other=other, holding=holding, naps=naps) -> None:  # type: ignore[no-untyped-def]
                naps.append(seconds)
                if len(naps) == 3:
                    other()
                    holding.close()

            set_clock(monkeypatch, files, sleep=nap)
            told: list[int] = []
            assert weights(trained, "base", lambda done, total, told=told: told.append(done)) == path
            assert (len(naps), max(told, default=0)) == (3, images)


def test_a_training_that_died_goes_on_from_its_last_epoch(tmp_path: Path) -> None:
    class DeathError(Exception):
        pass

    def die(done: int, total: int) -> None:
        if done == 60:
            raise DeathError

    against = replace(BASE, epochs=3, recipe=AdversarialTraining(PGD(Linf(0.1), steps=2)))
    with pytest.raises(DeathError):
        weights(trainer(tmp_path / "a", net=against), "net", die)
    assert len(list((tmp_path / "a").rglob("*.checkpoint"))) == 1
    told: list[int] = []
    path = weights(trainer(tmp_path / "a", net=against), "net", lambda done, total: told.append(done))
    assert told == [0, 120, 180]  # the first epoch is not trained again
    assert same(path, weights(trainer(tmp_path / "b", net=against), "net"))
    assert not list((tmp_path / "a").rglob("*.checkpoint"))


def test_roles_of_equal_words_are_two_networks(tmp_path: Path) -> None:
    """A recipe in words leaves the learning rate out; the network does not."""
    found = Networks({}, recipes={"a": BASE, "b": replace(BASE, lr=0.05)}, trained=tmp_path)
    assert str(BASE) == found.spec("b")
    assert found.fingerprint("a") != found.fingerprint("b")


@pytest.mark.parametrize("untrained", [False, True])
def test_an_experiment_trains_what_it_needs_and_no_more(
    untrained: bool, register: Callable[[Experiment], None], tmp_path: Path
) -> None:
    recipes = {"net": BASE, "never": replace(BASE, seed=5)}
    scale = Scale("digits/test[:10]", {}, 10, (0,), 0.1, "stand-in", "ten digits", recipes)
    craft = Craft(PGD(Linf(0.1), steps=2), (WeightedNetwork("net"),), targeted=False, keep="best")
    cells = [
        TableCell(craft, Judge(("net",)), "P_suc", {}, "rate"),
        TableCell(None, Judge(("net",)), "accuracy", {}, "clean"),
    ]
    register(Experiment("mine", "Mine", "nobody", lambda scale: cells, {"smoke": scale}, None))
    seen: list[str] = []
    stamps = []
    for _ in range(2):
        folder = reproduce("mine", "smoke", tmp_path, untrained=untrained, progress=lambda what, *_: seen.append(what))
        stamps.append([path.stat().st_mtime_ns for path in (tmp_path / "networks").glob("*.safetensors")])
    assert stamps[0] == stamps[1]
    assert len(stamps[0]) == (0 if untrained else 1)
    assert seen.count("training net") == (0 if untrained else 3)
    told: dict[str, Any] = json.loads((folder / "reproduction.json").read_text())
    assert told["models"]["net"]["spec"] == str(BASE)
    clean = told["beyond"][1]["ours"]
    network = (
        models.build(BASE.model, 0)
        if untrained
        else models.load(BASE.model, next(tmp_path.glob("networks/*.safetensors")))
    )
    batch = data.load("digits/test[:10]").all()
    assert clean == float((network(batch.x).argmax(1) == batch.y).double().mean())


def test_every_training_seed_is_a_network_and_a_value(register: Callable[[Experiment], None], tmp_path: Path) -> None:
    """Each number is that of the network trained with the seed; a cell without a recipe has one value."""
    recipes = {"base": BASE, "net": NEXT}
    scale = Scale("digits/test[:10]", {"fixed": "digits-cnn"}, 10, (0,), 0.1, "stand-in", "ten digits", recipes, (3, 4))
    craft = Craft(PGD(Linf(0.1), steps=2), (WeightedNetwork("net"),), targeted=False, keep="best")
    cells = [
        TableCell(None, Judge(("net",)), "accuracy", {}, "clean"),
        TableCell(craft, Judge(("net",)), "accuracy", {}, "attacked"),
        TableCell(craft, Judge(("net",)), "P_suc", {}, "rate"),
        TableCell(None, Judge(("fixed",)), "accuracy", {}, "without a recipe"),
    ]
    register(Experiment("mine", "Mine", "nobody", lambda scale: cells, {"smoke": scale}, None))
    told = json.loads((reproduce("mine", "smoke", tmp_path) / "reproduction.json").read_text())
    clean, attacked, rate, _ = told["beyond"]
    assert [len(row["per_seed"]) for row in told["beyond"]] == [2, 2, 2, 1]
    assert sorted(told["models"]) == ["fixed", "net, seed 3", "net, seed 4"]
    batch = data.load("digits/test[:10]").all()
    right = []
    for seed, value in zip((3, 4), clean["per_seed"], strict=True):
        run = replace(BASE, seed=seed)
        trained = trainer(tmp_path / "networks", base=run, net=replace(NEXT, seed=seed))
        network = models.load(BASE.model, weights(trained, "net", lambda *_: pytest.fail("trained again")))
        right.append(network(batch.x).argmax(1) == batch.y)
        assert value == float(right[-1].double().mean())
    assert clean["ours"] == sum(clean["per_seed"]) / 2
    assert all(a <= c for a, c in zip(attacked["per_seed"], clean["per_seed"], strict=True))
    assert rate["n"] == int((right[0] & right[1]).sum())  # right before the attack with either
    with pytest.raises(ContractError, match="each training seed once"):
        seeded_recipes(replace(scale, training_seeds=(3, 3)))


def test_a_network_trained_again_has_the_next_seed() -> None:
    recipes = {"net": BASE}
    scale = Scale("digits/test[:10]", {}, 10, (0,), 0.1, "stand-in", "ten digits", recipes, (3, 4, 7))
    craft = Craft(PGD(Linf(0.1), steps=2), (WeightedNetwork(trained_again("net")),), targeted=False)
    cell = TableCell(craft, Judge(("net",)), "accuracy", {}, "transfer")
    assert [one.roles for one in seeded_cells(cell, scale)] == [
        ("net, seed 3", "net, seed 4"),
        ("net, seed 4", "net, seed 7"),
        ("net, seed 7", "net, seed 3"),
    ]
    with pytest.raises(ContractError, match="two training seeds or more"):
        seeded_cells(cell, replace(scale, training_seeds=(3,)))
