"""Defences whose fit reads another file, random ones in an untrained trial, and cells that measure pairs of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vauban import data, metrics
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.core.errors import ContractError
from vauban.core.norms import Linf
from vauban.defences.autoencoders.autoencoder import FitAutoEncoder
from vauban.defences.autoencoders.s2snet import FitS2SNet
from vauban.defences.detectors.magnet import FitMagNet
from vauban.jobs import runner
from vauban.jobs.perform import obtain
from vauban.reproduce import Craft, Judge, NetworkPictures, Scale, Sweep, TableCell, WeightedNetwork
from vauban.reproduce import panels as panel_module
from vauban.reproduce.crafting import reload
from vauban.reproduce.declarations import DefenceOnUse, DefendedRole, FitterOnUse
from vauban.reproduce.networks import Networks
from vauban.reproduce.plan import plan
from vauban.reproduce.planned import Options, opened
from vauban.reproduce.results import measured

CODER = DefenceOnUse(FitAutoEncoder(epochs=1, batch=20), "digits/train[:40]")
TUNED = DefenceOnUse(
    FitterOnUse(FitS2SNet, (("start", CODER), ("epochs", 1), ("batch", 20))),
    "digits/train[40:80]",
    (("backward", "own"),),
)
MAGNET = DefenceOnUse(
    FitterOnUse(FitMagNet, (("autoencoder", CODER), ("fpr", 0.2))), "digits/train[80:120]", (("autoencoder", CODER),)
)
ROLES = {"plain": CODER, "tuned": TUNED, "magnet": MAGNET}
DEFENDED = {role: DefendedRole("net", (part,)) for role, part in ROLES.items()}
SCALE = Scale("digits/test[:6]", {"net": "digits-cnn"}, 6, (0,), 0, "same", "six digits", defended=DEFENDED)


def test_the_second_fit_starts_from_the_file_of_the_first(tmp_path: Path) -> None:
    networks = Networks(SCALE.models, trained=tmp_path / "networks", defended=DEFENDED)
    made = networks.artefacts(DEFENDED)
    assert len(made) == 3  # the auto-encoder once
    for artefact in made:
        obtain(artefact)
    first, tuned = (networks[role].transform.autoencoder for role in ("plain", "tuned"))
    for name, value in first.encoder.state_dict().items():
        assert torch.equal(value, tuned.encoder.state_dict()[name])
    assert not torch.equal(first.decoder.blocks[0][0].weight, tuned.decoder.blocks[0][0].weight)
    start = next((tmp_path / "fitted").glob("auto-encoder-*"))
    batch = data.load("digits/train[40:80]").all()
    by_hand = FitS2SNet(start=start, epochs=1, batch=20).fit(networks["net"], [batch]).defence.wrap(networks["net"])
    x = data.load("digits/test[:6]").all().x
    torch.testing.assert_close(networks["tuned"](x), by_hand(x))
    assert networks["magnet"](x).shape == (6, 11)


def test_the_first_fit_is_in_the_identity_of_the_second(tmp_path: Path) -> None:
    def described(coder: DefenceOnUse) -> object:
        fitter = FitterOnUse(FitS2SNet, (("start", coder), ("epochs", 1)))
        roles = {"tuned": DefendedRole("net", (DefenceOnUse(fitter, "digits/train[40:80]"),))}
        return Networks(SCALE.models, trained=tmp_path / "networks", defended=roles).describe("tuned")

    assert described(CODER) == described(CODER)
    assert described(CODER) != described(DefenceOnUse(FitAutoEncoder(epochs=2, batch=20), "digits/train[:40]"))


def test_untrained_there_are_random_auto_encoders_and_no_detector(tmp_path: Path) -> None:
    context = opened(SCALE, tmp_path, Options(untrained=True))
    x = context.data.all().x
    assert context.networks.artefacts(DEFENDED) == []
    assert context.networks["tuned"](x).shape == (6, 10)
    assert not torch.equal(context.networks["tuned"](x), context.networks["net"](x))
    assert torch.equal(context.networks["magnet"](x), context.networks["net"](x))
    trained = Networks(SCALE.models, trained=tmp_path / "networks", defended=DEFENDED)
    assert context.networks.describe("tuned") != trained.describe("tuned")
    assert not (tmp_path / "fitted").exists()


def test_pairs_relative_accuracy_and_what_is_drawn_of_them(tmp_path: Path) -> None:
    context = opened(SCALE, tmp_path, Options())
    craft, judge = Craft(FGSM(Linf(0.3)), (WeightedNetwork("net"),), targeted=False), Judge(("net",))
    names = ("dissimilarity", "linf", "relative_accuracy", "P_suc")
    cells = [TableCell(craft, judge, metric, {}, metric) for metric in names]
    clean = TableCell(None, judge, "accuracy", {}, "clean")
    seen: list[torch.Tensor] = []

    def draw(networks, batch, made):
        seen.extend((batch.x, made["FGSM"]))
        return torch.cat([batch.x[0], made["FGSM"][0]], 2), "side by side"

    panels = [
        Sweep("x is measured", "dissimilarity", "accuracy", {"FGSM": [(0.0, clean), (cells[0], cells[2])]}),
        NetworkPictures("two", ("net",), {"FGSM": craft}, judge, draw, first=1, count=2),
    ]
    wanted = [*cells, *panel_module.needed(panels)]
    work = plan(context, [[cell] for cell in wanted], (0,))
    assert not [one for one in runner.run(work.jobs()) if one.failures]
    rows = [cell.rows() for cell in work.cells]
    numbers = {cell.label: measured(cell, judged).estimate for cell, judged in zip(cells, rows, strict=False)}
    job = next(iter(work.crafts.values()))
    image, x = reload(job.rows()["image"].to_pylist()), context.data.all().x
    for name in ("dissimilarity", "linf"):
        exact = metrics.registry.get(name).make(x, image).mean()
        assert numbers[name].value == pytest.approx(float(exact))
    assert numbers["relative_accuracy"].value == pytest.approx(1 - numbers["P_suc"].value)
    drawn = panel_module.drawn(panels, work, rows, len(cells))
    (series,) = drawn.figures[0]["series"]
    assert series["x"] == [0.0, numbers["dissimilarity"].value]
    assert series["y"][1] == numbers["relative_accuracy"].value
    right = np.flatnonzero((context.networks["net"](x).argmax(1) == context.data.y).numpy())[1:3]
    assert torch.equal(seen[0], x[right])
    assert torch.equal(seen[1], image[right])
    assert drawn.pictures[0]["caption"] == "side by side"


def test_a_pair_needs_two_images(tmp_path: Path) -> None:
    context = opened(SCALE, tmp_path, Options())
    with pytest.raises(ContractError, match="expected a craft for dissimilarity"):
        plan(context, [[TableCell(None, Judge(("net",)), "dissimilarity", {}, "x")]], (0,))
