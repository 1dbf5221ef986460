"""`vb.train` in Python: a module of the user's, a recipe, and nothing that was not asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import vauban as vb
from vauban import models
from vauban.core.errors import ContractError, UnknownName
from vauban.core.rng import seeded
from vauban.evaluate.train import NAMES
from vauban.models import weights
from vauban.models.bounded_relu import BoundedReLU
from vauban.training.augmentation.noise import GaussianAugmentation
from vauban.training.objectives.standard import StandardTraining
from vauban.training.run import TrainingRun


def network() -> nn.Sequential:
    with seeded(3):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10))


def pair(n: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    batch = vb.data.load(f"digits/train[:{n}]").all()
    return batch.x, batch.y


def test_a_module_is_defended_in_three_lines_and_left_as_it_was(tmp_path: Path) -> None:
    net = network()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    trained = vb.train(net, pair(), recipe="brelu:t=1+gda:sigma=0.1,n=3", epochs=2, batch=20)
    report = vb.attack("fgsm:eps=0.1", trained.network, "digits/test[:20]")
    assert len(report.success) == 20
    assert net.training
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert isinstance(net[3], nn.ReLU)
    assert isinstance(trained.network[3], BoundedReLU)
    assert not trained.network.training
    assert trained.defended is trained.network
    assert len(trained.history) == 2
    assert trained.file is None
    again = vb.train(net, pair(), recipe="brelu:t=1+gda:sigma=0.1,n=3", epochs=2, batch=20, scratch=tmp_path)
    assert all(torch.equal(v, again.network.state_dict()[k]) for k, v in trained.network.state_dict().items())
    assert not list(tmp_path.iterdir())


def test_its_weights_load_into_the_module_again(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    trained = vb.train(network(), pair(), path, recipe="brelu:t=2", defence="bit-depth:bits=3", epochs=1, batch=20)
    meta = weights.metadata(path)
    assert "architecture" not in meta
    assert meta["edits"] == "brelu:t=2"
    assert meta["run"]["model"] == "Sequential"
    x = pair()[0]
    loaded = models.load(network(), weights=path)
    torch.testing.assert_close(loaded(x), trained.network(x))
    assert trained.defended is not trained.network
    torch.testing.assert_close(trained.defended(x), trained.network((x * 7).round() / 7))
    with pytest.raises(ContractError, match="does not name a registered architecture"):
        models.load(path)


def test_a_name_and_a_module_and_a_run_are_one_training() -> None:
    recipe = GaussianAugmentation(0.1, n=1)
    common: dict[str, Any] = {"epochs": 1, "batch": 20, "recipe": recipe, "seed": 4}
    run = TrainingRun("digits-cnn", "digits/train[:60]", **common)
    trained = [
        vb.train("digits-cnn", "digits/train[:60]", **common),
        vb.train(models.build("digits-cnn", 4), "digits/train[:60]", **common),
        vb.train(run, "digits/train[:60]"),
    ]
    states = [one.network.state_dict() for one in trained]
    assert all(torch.equal(value, other[key]) for other in states[1:] for key, value in states[0].items())


def test_frozen_parts_stay_so_and_a_network_in_evaluation_mode_is_trained() -> None:
    net = network()
    net[2].eval()
    assert not vb.train(net, pair(), epochs=1, batch=20).network[2].running_mean.any()
    assert vb.train(net.eval(), pair(), epochs=1, batch=20).network[2].running_mean.any()
    assert not net.training


def test_the_arguments_are_the_fields_of_a_run() -> None:
    assert {field.name for field in dataclasses.fields(TrainingRun)} == NAMES | {"model", "data", "minutes"}
    run = TrainingRun("digits-cnn", "digits/train[:60]", 1)
    with pytest.raises(ContractError, match="expected epochs in the TrainingRun"):
        vb.train(run, "digits/train[:60]", epochs=3)
    with pytest.raises(ContractError, match=r"a module or a vb\.TrainingRun to train, got"):
        vb.train(None, pair())  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="did you mean 'recipe'"):
        vb.train(network(), pair(), recipes="gda")


@pytest.mark.parametrize("recipe", ["thermometer:levels=2", "feature-denoising"])
def test_layers_that_an_edit_adds_follow_from_the_seed(recipe: str) -> None:
    with seeded(3):
        net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 10))
    there = torch.get_rng_state()
    first = vb.train(net, pair(20), recipe=recipe, epochs=1, batch=20).network.state_dict()
    assert torch.equal(torch.get_rng_state(), there)
    torch.rand(1)
    second = vb.train(net, pair(20), recipe=recipe, epochs=1, batch=20).network.state_dict()
    assert all(torch.equal(value, second[key]) for key, value in first.items())


def test_what_cannot_be_trained_is_told_in_one_line_before_the_first_epoch() -> None:
    x, y = pair(20)
    late, told = torch.cat([y[:-1], torch.tensor([10])]), []
    wide = torch.zeros(4, 3, 8, 8)
    frozen = network()
    frozen[1].weight.requires_grad_(False)
    frozen[4].weight.requires_grad_(False)
    vector = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    for net, data, more, message in (
        (network(), (x, late), {}, r"labels in \[0, 9\]"),
        (network(), (x, y), {"validation": (x, late)}, r"labels in \[0, 9\]"),
        (network(), (x, y), {"validation": (wide, y[:4])}, "a model that takes"),
        (network(), (x[:1], y[:1]), {}, "set batch to 2 or more"),
        (frozen, (x, y), {"recipe": "awp:objective=[standard]"}, "weights to move for awp"),
        (network(), (x, y), {"recipe": "awp:objective=[awp:objective=[standard]]"}, "objective of awp to be one"),
        (vector, (x.flatten(1), y), {"recipe": "awp:objective=[ibp]"}, "its answers alone, got ibp"),
        (vector, (x.flatten(1), y), {"recipe": "mirror-shift"}, "images .* for mirror-shift, got"),
        (network().bfloat16(), (x, y), {"recipe": "ibp"}, "known layers|float32 or float64 for ibp"),
        (torch.jit.script(network()), (x, y), {}, "got TorchScript"),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(10)), (x, y), {}, "got lazy ones in Sequential"),
    ):
        with pytest.raises(ContractError, match=message) as refused:
            vb.train(net, data, epochs=1, batch=8, callback=told.append, **more)
        assert "\n" not in str(refused.value)
    assert not told


def test_inside_no_grad_it_trains_and_inside_inference_mode_it_says_so() -> None:
    outside = vb.train(network(), pair(20), recipe="jacobian", epochs=1, batch=20).network.state_dict()
    with torch.no_grad():
        inside = vb.train(network(), pair(20), recipe="jacobian", epochs=1, batch=20).network.state_dict()
    assert all(torch.equal(value, inside[key]) for key, value in outside.items())
    with torch.inference_mode():
        with pytest.raises(ContractError, match="inference_mode"):
            vb.train(network(), pair(20), epochs=1)
        with pytest.raises(ContractError, match="inference_mode"):
            vb.certify("ibp", network(), "digits/test[:2]", attacks=[])
        with pytest.raises(ContractError, match="inference_mode"):
            vb.measure("loss-sensitivity", network(), "digits/test[:2]")


@pytest.mark.parametrize(
    ("criterion", "got"), [(nn.CrossEntropyLoss(reduction="none"), r"shape \(20,\)"), (lambda z, y: 1.0, r"1\.0")]
)
def test_a_criterion_gives_a_scalar(criterion: Any, got: str) -> None:
    with pytest.raises(ContractError, match=f"expected a scalar .* got .*{got}"):
        vb.train(network(), pair(20), recipe=StandardTraining(criterion=criterion), epochs=1, batch=20, holdout=0)


def test_a_scratch_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(ContractError, match="taken"):
        vb.train(network(), pair(20), epochs=1, scratch=tmp_path / "taken")


def test_training_in_float16_says_what_to_do_where_it_fails() -> None:
    with pytest.raises(ContractError, match="train in float32"):
        vb.train(network().half(), pair(20), epochs=1, batch=20)


@pytest.mark.parametrize("attack", ["pgd:eps=0.1,steps=2", "deepfool:steps=2"])
def test_an_attack_that_cannot_follow_the_network_is_refused_before_the_first_epoch(attack: str) -> None:
    """A step in front of a network has no gradient, also where the untrained network is wrong already."""
    told: list[Any] = []
    x, y = pair(20)
    for more in (
        {"recipe": f"+at:attack=[{attack}]"},
        {"recipe": f"+epoch-at:attack=[{attack}]"},
        {"selection": "best"},
    ):
        with seeded(3):
            net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 10))
        recipe = "thermometer:levels=2" + more.get("recipe", "")
        selection = f"best:attack=[{attack}]" if "selection" in more else "last"
        for labels in (y, (y + 3) % 10):
            with pytest.raises(ContractError, match="an attack that works with labels, white-box access"):
                vb.train(net, (x, labels), recipe=recipe, selection=selection, epochs=1, callback=told.append)
    assert not told


def test_a_checkpoint_is_that_of_one_validation_set(tmp_path: Path) -> None:
    """Without the set a part of the data is held out, and less is trained on: another training, not a damaged one."""

    class KilledError(Exception): ...

    def dies(epoch: Any) -> None:
        raise KilledError

    common: dict[str, Any] = {"epochs": 2, "batch": 20, "scratch": tmp_path}
    with pytest.raises(KilledError):
        vb.train(network(), pair(), validation=pair(20), callback=dies, **common)
    assert len(list(tmp_path.iterdir())) == 1
    assert len(vb.train(network(), pair(), **common).history) == 2
    resumed = vb.train(network(), pair(), validation=pair(20), **common)
    assert [epoch.validation is not None for epoch in resumed.history] == [True, True]
    assert not list(tmp_path.iterdir())
