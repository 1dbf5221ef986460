"""Training against an attack, from its settings to the weights file: what is recorded, and that it helps."""

import hashlib
import json

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
from vauban.models import weights

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
    models.train("digits-cnn", digits, path, 6, batch=32, lr=2e-3, holdout=0)
    return path


def stands(path, attack, distance):
    """Which of the 599 test digits are labelled right and stay so, within the distance."""
    batch = data.load("digits/test").all()
    found = attack.run(Oracle.open(BoundThreat(models.load(path)), batch.x, batch.y, ids=batch.ids, seed=9))
    return ~(found.success & (found.distance <= distance + 1e-6))


@pytest.mark.parametrize("name", REFERENCES)
def test_the_trained_network_stands_more_of_its_reference_attack(name, digits, clean, tmp_path):
    attack, distance = REFERENCES[name]
    tuned, plain = tmp_path / "tuned.safetensors", tmp_path / "plain.safetensors"
    common = {"batch": 32, "lr": 2e-3, "holdout": 0, "start": clean}
    models.train("digits-cnn", digits, tuned, 4, adversarial=attack, regenerate="epoch", **common)
    models.train("digits-cnn", digits, plain, 8, **common)  # as many steps without the attack
    ours, theirs = stands(tuned, attack, distance), stands(plain, attack, distance)
    gained, lost = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    assert gained - lost > 4 * (gained + lost) ** 0.5  # McNemar's sign test: four standard deviations


def test_the_whole_recipe_is_in_the_file(digits, clean, tmp_path):
    path = tmp_path / "tuned.safetensors"
    small, attack = digits[:60], DDN(steps=3)
    models.train(
        "digits-cnn",
        small,
        path,
        2,
        5,
        batch=20,
        lr=1e-3,
        optimiser="sgd",
        adversarial=attack,
        regenerate="epoch",
        start=clean,
        augment=True,
    )
    recipe = weights.metadata(path)["recipe"]
    assert recipe.pop("start") == {
        "file": "clean.safetensors",
        "sha256": hashlib.sha256(clean.read_bytes()).hexdigest(),
        "recipe": weights.metadata(clean)["recipe"],
    }
    assert recipe == {
        "epochs": 2,
        "batch": 20,
        "lr": 1e-3,
        "optimiser": "sgd",
        "weight_decay": 0.0,
        "cosine": False,
        "augment": True,
        "adversarial": str(attack),
        "regenerate": "epoch",
        "samples": 55,
    }
    assert "steps=3" in recipe["adversarial"]
    assert str(tmp_path) not in json.dumps(weights.metadata(path))
    plain = weights.metadata(clean)["recipe"]
    assert (plain["adversarial"], plain["regenerate"], plain["start"]) == (None, None, None)


def test_no_epoch_gives_the_weights_that_it_started_from(digits, clean, tmp_path):
    path = tmp_path / "same.safetensors"
    fitted = models.train("digits-cnn", digits, path, 0, start=clean)
    before, after = weights.read(clean), weights.read(path)
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert fitted.history == ()
    held = data.load("digits/train[:600]").batch(torch.arange(550, 600))
    right = (models.load(clean)(held.x).argmax(1) == held.y).float().mean().item()
    assert weights.metadata(path)["validation_accuracy"] == pytest.approx(right)


def test_training_goes_on_from_the_start(digits, clean, tmp_path):
    """A learning rate of nothing leaves the started network; without a start it leaves the initialisation."""
    for name, start in (("a", clean), ("b", None)):
        models.train("digits-cnn", digits[:40], tmp_path / f"{name}.safetensors", 1, lr=0.0, start=start)
    before, after = weights.read(clean), weights.read(tmp_path / "a.safetensors")
    assert all(torch.equal(before[k], after[k]) for k in before)
    fresh = weights.read(tmp_path / "b.safetensors")
    assert not all(torch.equal(before[k], fresh[k]) for k in before)


def test_the_same_settings_give_the_same_file_content(digits, tmp_path):
    made = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        path = tmp_path / f"{name}.safetensors"
        attack = PGD(Linf(0.1), steps=2)
        models.train("digits-cnn", digits[:80], path, 2, seed, batch=20, adversarial=attack, regenerate="epoch")
        made.append(weights.read(path))
    assert all(torch.equal(v, made[1][k]) for k, v in made[0].items())
    assert not all(torch.equal(v, made[2][k]) for k, v in made[0].items())


def test_the_first_epoch_has_adversarial_images_only_where_the_network_is_trained(digits, clean, tmp_path):
    """One epoch: with `start` it differs from plain training, without it there is nothing to forge yet."""

    def one(start, attack):
        path = tmp_path / "one.safetensors"
        models.train(
            "digits-cnn",
            digits[:80],
            path,
            1,
            adversarial=attack,
            start=start,
            regenerate="batch" if attack is None else "epoch",
        )
        return weights.read(path)

    for start, same in ((None, True), (clean, False)):
        plain, attacked = one(start, None), one(start, FGSM(Linf(0.1)))
        assert all(torch.equal(v, attacked[k]) for k, v in plain.items()) == same


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"regenerate": "epoch"}, "with an adversarial attack"),
        ({"regenerate": "step", "adversarial": FGSM()}, "regenerate='batch'"),
        ({"epochs": 0}, "0 with weights to start from"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, says, digits, tmp_path):
    with pytest.raises(ContractError, match=says):
        models.train("digits-cnn", digits, tmp_path / "w.safetensors", **{"epochs": 1, **changes})


def test_a_start_of_another_architecture_is_refused_and_parameters_are_its_own(digits, clean, tmp_path):
    with pytest.raises(ContractError, match=r"holds weights of 'digits-cnn', expected 'mnist-c4'"):
        models.train("mnist-c4", digits, tmp_path / "w.safetensors", 1, start=clean)
    net = models.build("mnist-c4", activation="elu")
    weights.save(net, tmp_path / "elu.safetensors", {"architecture": "mnist-c4", "params": {"activation": "elu"}})
    mnist_like = data.load("digits/train[:5]")
    with pytest.raises(ContractError, match="activation=elu"):
        models.train(
            "mnist-c4:activation=relu", mnist_like, tmp_path / "w.safetensors", 1, start=tmp_path / "elu.safetensors"
        )
