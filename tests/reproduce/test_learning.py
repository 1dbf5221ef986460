"""Attacks that an experiment fits: once, kept by content, on images that are not attacked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from vauban import data
from vauban.attacks.universal.shift import UniversalPerturbation
from vauban.attacks.universal.uap import Universal
from vauban.core.errors import ContractError
from vauban.core.norms import L2, Linf
from vauban.engine import BoundThreat
from vauban.jobs.perform import obtain
from vauban.reproduce import Craft, Experiment, FitOnUse, Judge, Scale, TableCell, WeightedNetwork, load, reproduce
from vauban.reproduce.context import Context, craft_identity
from vauban.reproduce.crafting import craft_batch, reload
from vauban.reproduce.fit_on_use import FittedAttack
from vauban.reproduce.jobs import CRAFTED
from vauban.reproduce.networks import Networks
from vauban.reproduce.papers.thesis4.attacks import FITTING_DATA
from vauban.store.part_folder import PartFolder

NETS = Path(__file__).with_name("nets.py")
MODELS = {"A": f"{NETS}:Means", "B": f"{NETS}:Means:every=9"}
FITTER = Universal(Linf(0.3), epochs=2)
LEARNT = FitOnUse(FITTER, "digits/test[20:40]")
CRAFT = Craft(LEARNT, (WeightedNetwork("A"),), targeted=False, saved="float")


def context(out: Path) -> Context:
    return Context(data.load("digits/test[:10]"), Networks(MODELS), out, 5)


def cell(craft: Craft) -> TableCell:
    return TableCell(craft, Judge(("A",)), "P_suc", {}, "rate", (craft,))


def attack(craft: Craft, out: Path) -> Any:
    fitted = FittedAttack(context(out), craft)
    obtain(fitted)
    return fitted.attack()


@pytest.mark.slow
def test_fitted_once_as_by_hand(tmp_path: Path) -> None:
    """Progress counts the images of every pass."""
    told: list[tuple[int, int]] = []
    obtain(FittedAttack(context(tmp_path), CRAFT), lambda *counts: told.append(counts))
    batch = data.load("digits/test[20:40]").all()
    whole = FITTER.fit(BoundThreat(context(tmp_path).networks["A"], levels=None), [batch])
    (path,) = (tmp_path / "fitted").glob("*.safetensors")
    torch.testing.assert_close(UniversalPerturbation(file=path).v, whole.attack.v, atol=1e-5, rtol=0)
    assert float(whole.attack.v.abs().max()) > 0.1
    assert [done for done, _ in told] == [0, *(20 * k for k in range(1, whole.epochs + 1)), 40]
    stamp = path.stat().st_mtime_ns
    assert attack(CRAFT, tmp_path).v.equal(UniversalPerturbation(file=path).v)
    assert (len(told), path.stat().st_mtime_ns) == (whole.epochs + 2, stamp)


@pytest.mark.slow
def test_what_changes_the_fit_changes_its_file_and_the_craft(tmp_path: Path) -> None:
    crafts = [
        CRAFT,
        replace(CRAFT, attack=replace(LEARNT, fitter=replace(FITTER, ball=L2(3.0)))),
        replace(CRAFT, attack=replace(LEARNT, fitter=replace(FITTER, epochs=1))),
        replace(CRAFT, attack=replace(LEARNT, data="digits/test[20:41]")),
        replace(CRAFT, through=(WeightedNetwork("B"),)),
        replace(CRAFT, grid=256),
    ]
    shifts = [attack(craft, tmp_path).v for craft in crafts]
    assert len(list((tmp_path / "fitted").glob("*.safetensors"))) == len(crafts)
    run = context(tmp_path)
    identities = [craft_identity(run, craft, 0, FittedAttack(run, craft)) for craft in crafts]
    assert len({json.dumps(identity, sort_keys=True) for identity in identities}) == len(crafts)
    assert len({tuple(v.flatten().tolist()) for v in shifts}) >= 4
    attack(replace(CRAFT, keep="best", clip=0.1), tmp_path)  # what is done with the image is no matter
    assert len(list((tmp_path / "fitted").glob("*.safetensors"))) == len(crafts)


@pytest.mark.slow
def test_declarations_that_do_not_hold(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="untargeted"):
        attack(replace(CRAFT, targeted=True), tmp_path)
    with pytest.raises(ContractError, match="image 9 in both"):
        attack(replace(CRAFT, attack=replace(LEARNT, data="digits/test[9:30]")), tmp_path)
    assert attack(replace(CRAFT, attack=replace(LEARNT, data="digits/train[:5]")), tmp_path).v.shape == (1, 8, 8)
    batch = data.load("digits/test[:3]").all()
    with pytest.raises(ContractError, match="fitted"):
        craft_batch(CRAFT, context(tmp_path).networks.threat(CRAFT), batch, batch.y, 0)


@pytest.mark.slow
def test_other_bytes_than_were_fitted_are_refused(tmp_path: Path) -> None:
    fitted = FittedAttack(context(tmp_path), CRAFT)
    obtain(fitted)
    fitted.path.write_bytes(fitted.path.read_bytes() + b"x")
    with pytest.raises(ContractError, match="got other bytes"):
        fitted.attack()
    with pytest.raises(ContractError, match="got other bytes"):
        obtain(fitted)


@pytest.mark.slow
def test_an_experiment_saves_the_shifted_images(register: Callable[[Experiment], None], tmp_path: Path) -> None:
    scale = Scale("digits/test[:10]", MODELS, 10, (0, 1), 0.1, "stand-in", "ten digits")
    register(Experiment("mine", "Mine", "nobody", lambda scale: [cell(CRAFT)], {"smoke": scale}, None))
    for _ in range(2):
        folder = reproduce("mine", "smoke", tmp_path, batch_size=10)
    (path,) = (tmp_path / "fitted").glob("*.safetensors")
    x = data.load("digits/test[:10]").all()
    image, net = (x.x + UniversalPerturbation(file=path).v).clamp(0, 1), context(tmp_path).networks["A"]
    made = list((tmp_path / "crafted").iterdir())
    assert len(made) == 2  # one for each seed
    for craft in made:
        rows = PartFolder(craft, CRAFTED).read(0)
        assert rows is not None
        torch.testing.assert_close(reload(rows["image"].to_pylist()), image, atol=1e-6, rtol=0)
        assert set(rows["backwards"].to_pylist()) == {0}
    right = net(x.x).argmax(1) == x.y
    told = json.loads((folder / "reproduction.json").read_text())["beyond"][0]
    assert told["ours"] == pytest.approx(float((net(image).argmax(1) != x.y)[right].double().mean()))


def test_figure_4_1_fits_on_images_that_it_does_not_show() -> None:
    experiment = load("thesis-fig4.1")
    for scale in experiment.scales.values():
        learnt = {c.craft.attack for c in experiment.cells(scale) if c.craft and isinstance(c.craft.attack, FitOnUse)}
        (one,) = learnt
        assert one.data == next(text for name, text in FITTING_DATA.items() if scale.data.startswith(name))
        assert getattr(one.fitter, "ball", None) == Linf(10 / 255)
    used = data.load(experiment.scales["smoke"].data).rows.tolist()
    assert not set(used) & set(data.load(FITTING_DATA["colours"]).rows.tolist())
    assert range(20, 1000, 20)[0] >= experiment.scales["small"].images  # the first 20 of the folder are shown
