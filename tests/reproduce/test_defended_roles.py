"""Networks behind defences that an experiment fits: once, kept by content, roles like others for crafts and judges."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vauban import data
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.errors import ContractError, UnknownName
from vauban.core.norms import Linf
from vauban.defences.features.patch_fitter import FitPatches
from vauban.defences.features.patches import Patches
from vauban.defences.inputs.bit_depth import BitDepth
from vauban.jobs.perform import obtain
from vauban.reproduce import Craft, Experiment, Judge, Scale, TableCell, WeightedNetwork
from vauban.reproduce.declarations import DefenceOnUse, DefendedRole
from vauban.reproduce.networks import Networks
from vauban.reproduce.plan import plan
from vauban.reproduce.planned import Options, opened

IMAGE = DefenceOnUse(FitPatches(codewords=20), "digits/train[:40]", (("strategy", "linf"), ("epsilon", 0.2)))
INNER = DefenceOnUse(FitPatches(layer="0", depth=8, codewords=10), "digits/train[:40]")
DEFENDED = {
    "image": DefendedRole("net", (IMAGE,)),
    "both": DefendedRole("net", (BitDepth(3), IMAGE, INNER)),
    "again": DefendedRole("net", (IMAGE, INNER)),
}
SCALE = Scale("digits/test[:6]", {"net": "digits-cnn"}, 6, (0,), 0, "same", "six digits", defended=DEFENDED)


def test_fitted_once_as_by_hand_and_wrapped_in_order(tmp_path: Path) -> None:
    networks = Networks(SCALE.models, trained=tmp_path / "networks", defended=DEFENDED)
    made = networks.artefacts(["both", "image", "again", "net"])
    assert len(made) == 2
    for artefact in made:
        obtain(artefact)
    assert len(list((tmp_path / "fitted").glob("*.safetensors"))) == 2
    x, net = data.load("digits/test[:6]").all().x, networks["net"]
    batch = data.load("digits/train[:40]").all()
    image, inner = IMAGE.fitter.fit(None, [batch]).defence, INNER.fitter.fit(net, [batch]).defence
    limited = Patches(book=image.book, strategy="linf", epsilon=0.2)
    by_hand = BitDepth(3).wrap(limited.wrap(inner.wrap(net)))
    torch.testing.assert_close(networks["both"](x), by_hand(x))
    assert not torch.equal(networks["image"](x), networks["again"](x))


def test_what_changes_the_defence_changes_the_role(tmp_path: Path) -> None:
    def keys(**changed: DefendedRole) -> list[str]:
        networks = Networks(SCALE.models, trained=tmp_path / "networks", defended={**DEFENDED, **changed})
        return [json.dumps(networks.describe(role), sort_keys=True) for role in ("net", "image", "both", "again")]

    assert keys() == keys()
    assert len(set(keys())) == 4
    for other in (
        replace(IMAGE, fitter=FitPatches(codewords=21)),
        replace(IMAGE, data="digits/train[:41]"),
        replace(IMAGE, options=(("strategy", "l2"), ("epsilon", 0.2))),
    ):
        assert keys(image=DefendedRole("net", (other,)))[1] != keys()[1]


@pytest.mark.slow
def test_crafted_on_the_bare_network_or_through_the_defence(tmp_path: Path) -> None:
    context = opened(SCALE, tmp_path, Options())
    attack = PGD(Linf(0.1), 3)
    on = {role: Craft(attack, (WeightedNetwork(role),), targeted=False) for role in ("net", "image")}
    cells = [TableCell(None, Judge(("image",)), "accuracy", {}, "clean")]
    cells += [TableCell(craft, Judge(("image",)), "P_suc", {}, role) for role, craft in on.items()]
    work = plan(context, [[cell] for cell in cells], (0,))
    needed = {need.label for job in work.jobs() for need in job.needs()}
    assert any("patches" in label for label in needed)
    gray = work.crafts[next(iter(work.crafts))]
    assert not [need for need in gray.needs() if "patches" in need.label]  # the attacker does not know it
    assert isinstance(Experiment("x", "x", "x", lambda scale: cells, {"s": SCALE}, None), Experiment)


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="each role once"):
        Networks({"image": "digits-cnn"}, defended=DEFENDED)
    with pytest.raises(UnknownName, match="image"):
        Networks(SCALE.models, defended=DEFENDED)["imege"]
    overlapping = DefendedRole("net", (replace(IMAGE, data="digits/test[3:9]"),))
    networks = Networks(SCALE.models, trained=tmp_path / "networks", defended={"image": overlapping})
    networks.artefacts(["image"])
    with pytest.raises(ContractError, match="image 3 in both"):
        networks.defended.check_apart(data.load("digits/test[:6]"))
