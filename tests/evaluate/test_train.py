"""Training against an attack, from its settings to the weights file: what is recorded, and that it helps."""

import hashlib
import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from vauban import data, models
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.minimal.bp import BP
from vauban.attacks.minimal.ddn import DDN
from vauban.core.errors import ContractError
from vauban.core.norms import Linf
from vauban.engine import BoundThreat, Oracle
from vauban.evaluate import outputs
from vauban.evaluate.fit import fit
from vauban.evaluate.train import train
from vauban.evaluate.training_identity import training_identity
from vauban.jobs.identity import address
from vauban.models import weights
from vauban.training.augmentation.epoch_adversarial import EpochAdversarial
from vauban.training.augmentation.mirror_shift import MirrorShift
from vauban.training.loop import optimise
from vauban.training.objectives.adversarial import AdversarialTraining
from vauban.training.recipe import Recipe
from vauban.training.run import TrainingRun

OLD = Path(__file__).parents[1] / "fixtures" / "vauban-0.1" / "weights.safetensors"
BOTH = AdversarialTraining(PGD(Linf(0.1), steps=2), alpha=0.5)
# The reference attacks of section 3.2.2 and the distance, in their own norm, within which a success counts.
REFERENCES = {
    "fgsm": (FGSM(Linf(0.15)), 0.15),
    "pgd": (PGD(Linf(0.15), steps=7), 0.15),
    "ddn": (DDN(steps=20), 0.8),
    "bp": (BP(steps=20), 0.8),
}


@pytest.fixture(scope="module")
def digits():
    return data.load("digits/train[:600]")


@pytest.fixture(scope="module")
def clean(digits, tmp_path_factory):
    """A digits-cnn after six plain epochs."""
    path = tmp_path_factory.mktemp("clean") / "clean.safetensors"
    train(run(6, batch=32, lr=2e-3, holdout=0), digits, path)
    return path


def run(epochs=1, **fields):
    """A run of the digits network; the text that names its data is of no account here."""
    return TrainingRun("digits-cnn", "digits/train", epochs, **fields)


def stands(path, attack, distance):
    """Which of the 599 test digits are labelled right and stay so, within the distance."""
    batch = data.load("digits/test").all()
    found = attack.run(Oracle.open(BoundThreat(models.load(path)), batch.x, batch.y, ids=batch.ids, seed=9))
    return ~(found.success & (found.distance <= distance + 1e-6))


def further(digits, clean, path, epochs, **recipe):
    """The clean network trained further."""
    train(run(epochs, batch=32, lr=2e-3, holdout=0, start=str(clean), **recipe), digits, path)
    return path


@pytest.fixture(scope="module")
def plain(digits, clean, tmp_path_factory):
    """As many steps from the clean network as four epochs on images and attacked ones take, without an attack."""
    return further(digits, clean, tmp_path_factory.mktemp("plain") / "plain.safetensors", 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", REFERENCES)
def test_the_trained_network_stands_more_of_its_reference_attack(name, digits, clean, plain, tmp_path):
    attack, distance = REFERENCES[name]
    tuned = further(digits, clean, tmp_path / "tuned.safetensors", 4, recipe=EpochAdversarial(attack, first=True))
    ours, theirs = stands(tuned, attack, distance), stands(plain, attack, distance)
    gained, lost = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    assert gained - lost > 4 * (gained + lost) ** 0.5  # McNemar's sign test: four standard deviations


@pytest.mark.slow
def test_the_whole_run_is_in_the_file(digits, clean, tmp_path):
    path = tmp_path / "tuned.safetensors"
    made = run(
        2,
        seed=5,
        batch=20,
        optimiser="sgd",
        weight_decay=1e-4,
        schedule="cosine",
        recipe=EpochAdversarial(DDN(steps=3), first=True) + MirrorShift(2),
        start=str(clean),
    )
    train(made, digits[:60], path)
    meta = weights.metadata(path)
    told = meta["run"]
    assert set(told) == {f.name for f in fields(TrainingRun)} - {"minutes"}
    assert told.pop("start") == {
        "file": "clean.safetensors",
        "sha256": hashlib.sha256(clean.read_bytes()).hexdigest(),
        "run": weights.metadata(clean)["run"],
    }
    assert told.pop("recipe") == "epoch-at:attack=[ddn:steps=3],first=true+mirror-shift:reach=2"
    assert told == {name: getattr(made, name) for name in told}
    assert meta["data"]["trained"] == 55
    assert str(tmp_path) not in json.dumps(meta)
    assert (weights.metadata(clean)["run"]["recipe"], weights.metadata(clean)["run"]["start"]) == ("standard", None)


def test_no_epoch_gives_the_weights_that_it_started_from(digits, clean, tmp_path):
    path = tmp_path / "same.safetensors"
    fitted = train(run(0, start=str(clean)), digits, path)
    before, after = weights.read(clean), weights.read(path)
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert fitted.history == ()
    held = data.load("digits/train[:600]").batch(torch.arange(550, 600))
    right = (models.load(clean)(held.x).argmax(1) == held.y).float().mean().item()
    assert weights.metadata(path)["validation_accuracy"] == pytest.approx(right)


def test_training_goes_on_from_the_start(digits, clean, tmp_path):
    """A learning rate of nothing leaves the started network; without a start it leaves the initialisation."""
    for name, start in (("a", str(clean)), ("b", None)):
        train(run(lr=0.0, start=start), digits[:40], tmp_path / f"{name}.safetensors")
    before, after = weights.read(clean), weights.read(tmp_path / "a.safetensors")
    assert all(torch.equal(before[k], after[k]) for k in before)
    fresh = weights.read(tmp_path / "b.safetensors")
    assert not all(torch.equal(before[k], fresh[k]) for k in before)


def test_the_same_settings_give_the_same_file_content(digits, tmp_path):
    made = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        path = tmp_path / f"{name}.safetensors"
        recipe = EpochAdversarial(PGD(Linf(0.1), steps=2))
        train(run(2, seed=seed, batch=20, recipe=recipe), digits[:80], path)
        made.append(weights.read(path))
    assert all(torch.equal(v, made[1][k]) for k, v in made[0].items())
    assert not all(torch.equal(v, made[2][k]) for k, v in made[0].items())


def test_the_first_epoch_has_adversarial_images_only_where_the_recipe_says_so(digits, clean, tmp_path):
    def one(recipe):
        path = tmp_path / "one.safetensors"
        train(run(recipe=recipe, start=str(clean)), digits[:80], path)
        return weights.read(path)

    plain = one(Recipe())
    for first in (False, True):
        attacked = one(EpochAdversarial(FGSM(Linf(0.1)), first))
        assert all(torch.equal(v, attacked[k]) for k, v in plain.items()) != first


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"epochs": 0}, "0 with weights to start from"),
        ({"holdout": 1.0}, "holdout of TrainingRun"),
        ({"batch": 0}, "batch of TrainingRun"),
        ({"optimiser": "adamw"}, "one of adam, sgd"),
        ({"schedule": "steps"}, "constant, cosine, linear"),
        ({"selection": 3}, "selection of TrainingRun"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, says):
    with pytest.raises(ContractError, match=says):
        run(**changes)


def test_a_start_of_another_architecture_is_refused_and_parameters_are_its_own(digits, clean, tmp_path):
    with pytest.raises(ContractError, match=r"holds weights of 'digits-cnn', expected 'mnist-c4'"):
        train(replace(run(start=str(clean)), model="mnist-c4"), digits, tmp_path / "w.safetensors")
    net = models.build("mnist-c4", activation="elu")
    weights.save(net, tmp_path / "elu.safetensors", {"architecture": "mnist-c4", "params": {"activation": "elu"}})
    mnist_like = data.load("digits/train[:5]")
    with pytest.raises(ContractError, match="activation=elu"):
        train(
            replace(run(start=str(tmp_path / "elu.safetensors")), model="mnist-c4:activation=relu"),
            mnist_like,
            tmp_path / "w.safetensors",
        )


def test_a_network_behind_a_defence_learns_what_the_defence_lets_through(digits, tmp_path):
    """Bits of depth in front are the same as rounded images without; the file holds the network alone."""
    behind, plain = tmp_path / "behind.safetensors", tmp_path / "plain.safetensors"
    train(run(2, batch=20, defence="bit-depth:bits=2", holdout=0), digits[:60], behind)
    train(run(2, batch=20, holdout=0), digits[:60], plain)
    module, images = models.build("digits-cnn"), digits[:60].all()
    rounded = replace(images, x=(images.x * 3).round() / 3, levels=None)
    optimise(module.to(memory_format=torch.channels_last), rounded, epochs=2, batch=20)
    made = weights.read(behind)
    assert all(torch.equal(v, made[k]) for k, v in module.state_dict().items())
    assert not all(torch.equal(v, made[k]) for k, v in weights.read(plain).items())
    assert weights.metadata(behind)["run"]["defence"] == "bit-depth:bits=2"


def test_text_and_objects_of_a_recipe_are_one_training(digits, tmp_path):
    made = []
    for name, recipe in (("a", "at:attack=[pgd:eps=0.1,steps=2],alpha=0.5"), ("b", BOTH)):
        path = tmp_path / f"{name}.safetensors"
        train(run(recipe=recipe, batch=20), digits[:60], path)
        made.append(weights.read(path))
    assert all(torch.equal(v, made[1][k]) for k, v in made[0].items())


def test_weights_of_before_can_be_started_from(digits, tmp_path):
    path = tmp_path / "w.safetensors"
    train(run(0, start=str(OLD)), digits[:20], path)
    before, after = weights.read(OLD), weights.read(path)
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert weights.metadata(path)["run"]["start"]["run"] == weights.metadata(OLD)["recipe"]


@pytest.mark.parametrize("kind", ["model", "defence"])
def test_the_file_of_a_user_counts_where_its_function_uses_layers_of_torch_alone(kind, digits, tmp_path):
    file = tmp_path / "mine.py"
    word = {"model": f"{file}:make"} if kind == "model" else {"model": "digits-cnn", "defence": f"{file}:make"}

    def identity(rest):
        file.write_text(f"from torch import nn\ndef make(*inner):\n    return nn.Sequential(*inner, {rest}\n")
        return training_identity(TrainingRun(**word, data="digits/train"), digits, None, "cpu")

    plain = identity("nn.Flatten(), nn.Linear(64, 10))")
    assert identity("nn.Flatten(), nn.Linear(64, 10))  # why") == plain
    assert identity("nn.Flatten(), nn.Dropout(), nn.Linear(64, 10))") != plain


def test_a_training_and_a_fit_count_the_device_and_torchs_minor_version_as_cells_do(digits, tmp_path, monkeypatch):
    net = models.build("digits-cnn", 0)

    def identities(device):
        trained = outputs.TrainedWeights(run(1), digits[:20], tmp_path / "w.safetensors", device=device)
        fitted = outputs.FittedFile("universal:eps=0.1", net, digits[:20], tmp_path / "u.safetensors", device=device)
        return [address(made.identity()) for made in (trained, fitted)]

    here = identities("cpu")
    assert identities("cpu:0") == here
    assert all(a != b for a, b in zip(identities("cuda:1"), here, strict=True))
    major, minor, _ = torch.__version__.split(".", 2)
    monkeypatch.setattr(torch, "__version__", f"{major}.{minor}.99+rocm6.3")
    assert identities("cpu") == here
    monkeypatch.setattr(torch, "__version__", f"{major}.{int(minor) + 1}.0")
    assert all(a != b for a, b in zip(identities("cpu"), here, strict=True))


def test_a_file_of_the_defence_counts_by_its_content(digits, tmp_path):
    file, path = tmp_path / "a b+c.safetensors", tmp_path / "w.safetensors"
    word = f"quilting:file='{file}'"
    behind = replace(run(1), recipe="standard", defence=word)

    def refitted(sample):
        fit(f"quilting:sample={sample}", None, digits[:20], file)
        return training_identity(behind, digits, None, "cpu")

    first = refitted(20)
    assert refitted(21) != first
    assert refitted(20) == first
    train(behind, digits[:20], path)
    models.load(f"trained|{path}")
    refitted(21)
    with pytest.raises(ContractError, match=r"as it was when w\.safetensors was trained behind it, got other content"):
        models.load(f"trained|{path}")
    file.unlink()
    with pytest.raises(ContractError, match=r"that w\.safetensors was trained behind, got no such file here"):
        models.load(f"trained|{path}")
