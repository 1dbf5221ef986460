"""One batch: the saved PNG, its bound and its mask, the last clip, and who the attacker is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vauban import data
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, UnknownName, VaubanError
from vauban.core.norms import Ball, Linf
from vauban.defences import JPEG, BitDepth, DifferentiableJPEG, GaussianNoise
from vauban.engine import Oracle, Result
from vauban.engine.result import untouched
from vauban.reproduce import Craft, Judge, WeightedNetwork
from vauban.reproduce.crafting import craft_batch, reload
from vauban.reproduce.masks import band
from vauban.reproduce.networks import WEIGHTS, Networks, rules

NETS = Path(__file__).with_name("nets.py")
NETWORKS = Networks({"A": f"{NETS}:Means", "B": f"{NETS}:Means:every=9"})
BATCH = data.load("digits/test").take(6)
TARGET = (BATCH.y + 1) % 10
A = (WeightedNetwork("A"),)


@dataclass(frozen=True)
class Anywhere:
    """Hands over the original plus `by`, whatever its ball says."""

    by: float
    ball: Ball = Linf(8 / 255)

    def run(self, oracle: Oracle) -> Result:
        return replace(untouched(oracle.domain.x0), crafted=(oracle.domain.x0 + self.by).clamp(0, 1))


def crafted(craft: Craft, batch: Batch = BATCH, seed: int = 0) -> Tensor:
    made = craft_batch(craft, NETWORKS.threat(craft), batch, TARGET, seed)
    image = reload(made.image)
    assert torch.allclose(made.linf, (image - batch.x).abs().flatten(1).amax(1), atol=1e-6)
    return image


@pytest.mark.parametrize("channels", [1, 3])
def test_png_round_trip(channels: int) -> None:
    levels = torch.randint(0, 256, (3, channels, 7, 5), generator=torch.Generator().manual_seed(0))
    x = levels.float() / 255
    from vauban.core.pictures import png

    assert torch.equal(reload([png(picture) for picture in x]), x)


@pytest.mark.parametrize("radius", [8 / 255, 0.1, 3.6 / 255])
def test_saved_images_stay_in_the_ball(radius: float) -> None:
    """0.1 is 25.5 levels: the nearest level is outside, the saved image is not."""
    change = (crafted(Craft(PGD(Linf(radius), steps=3), A)) - BATCH.x).abs()
    assert float(change.max()) * 255 == pytest.approx(int(radius * 255 + 1e-6), abs=1e-3)


def test_an_attack_that_forgets_its_ball_is_brought_back_by_rounding_only() -> None:
    assert float((crafted(Craft(Anywhere(8.4 / 255), A)) - BATCH.x).abs().max()) == pytest.approx(8 / 255)


def test_a_bound_that_is_broken_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from vauban.reproduce import crafting

    monkeypatch.setattr(crafting.PixelGrid, "round", lambda self, x: x)
    with pytest.raises(VaubanError, match=r"6 of 6 leave it, the farthest by 20/255"):
        crafted(Craft(Anywhere(20 / 255), A))


def test_clip_before_saving() -> None:
    """Final clipping is min(max(x', x - c), x + c), here to 5 levels."""
    craft = Craft(Anywhere(20 / 255, ball=Linf(1.0)), A, clip=5 / 255)
    assert torch.allclose(crafted(craft), (BATCH.x + 5 / 255).clamp(0, 1), atol=1e-6)


def test_band() -> None:
    mask = band(torch.zeros(1, 3, 299, 299))
    assert int(mask.sum()) == 50 * 299 + 50 * 299 - 50 * 50
    assert bool(mask[:50].all() & mask[:, 249:].all())
    assert not bool(mask[50:, :249].any())
    small = band(BATCH.x)
    assert int(small.sum()) == 8 + 8 - 1


def test_masked_pixels_do_not_change() -> None:
    mask = band(BATCH.x).expand_as(BATCH.x)
    image = crafted(Craft(PGD(Linf(0.2), steps=3), A, mask="band"))
    assert torch.equal(image[~mask], BATCH.x[~mask])
    assert not torch.equal(image[mask], BATCH.x[mask])
    with pytest.raises(VaubanError, match="outside the mask"):
        crafted(Craft(Anywhere(8 / 255), A, mask="band"))
    with pytest.raises(UnknownName, match="band"):
        crafted(Craft(Anywhere(0.0), A, mask="bend"))


def test_images_that_png_cannot_hold() -> None:
    with pytest.raises(ContractError, match="256 pixel levels"):
        crafted(Craft(Anywhere(0.0), A), Batch(BATCH.x, BATCH.y, BATCH.ids, None))


def test_seeds_differ() -> None:
    craft = Craft(PGD(Linf(0.1), steps=1), A)
    assert torch.equal(crafted(craft, seed=1), crafted(craft, seed=1))
    assert not torch.equal(crafted(craft, seed=1), crafted(craft, seed=2))


def test_the_attacker_behind_a_path() -> None:
    """Rules for what is not differentiable, as the card says or the identity; weights; draws; unrounded images."""
    through = (
        WeightedNetwork("A", (JPEG(quality=50), GaussianNoise()), 2.0),
        WeightedNetwork("A", (JPEG(quality=50),), bpda="identity"),
        WeightedNetwork("B"),
    )
    threat = NETWORKS.threat(Craft(PGD(Linf(0.1)), through, draws=3))
    first, second, third = (network for network, _ in threat.sources)
    assert [weight for _, weight in threat.sources] == [2.0, 1.0, 1.0]
    assert threat.backward == {first.transform: DifferentiableJPEG(50), second.transform: None}
    assert (threat.draws, threat.levels, threat.limit) == (3, None, None)
    assert first.inner.inner is second.inner is NETWORKS["A"]
    assert third is NETWORKS["B"]
    assert threat.target is NETWORKS["A"]  # the first source is random: what succeeds is read below its noise
    assert not threat.randomised


def test_the_target_of_one_source_is_that_source() -> None:
    threat = NETWORKS.threat(Craft(PGD(Linf(0.1)), (WeightedNetwork("A", (BitDepth(bits=3),)),)))
    assert threat.direct
    assert threat.target.inner is NETWORKS["A"]


def test_a_networks_own_card_keeps_its_rule() -> None:
    """bpda="identity" is about the path: what the network itself brings is differentiated as its card says."""
    own = JPEG(quality=30).wrap(NETWORKS["A"])
    source = JPEG(quality=70).wrap(own)
    assert rules(source, own, "identity") == {source.transform: None, own.transform: DifferentiableJPEG(30)}
    assert rules(source, own, "card")[source.transform] == DifferentiableJPEG(70)


def test_roles() -> None:
    found = Networks(
        {"A": f"{NETS}:Means", "same": f"{NETS}:Means", "never": "nowhere.py:net", "w": "{weights}/x {data}"}
    )
    assert found["A"] is found["same"]
    assert found.fingerprint("A") == found.fingerprint("same")
    assert found.spec("w").startswith(f"{WEIGHTS}/x ")
    assert found.judges(Judge(("A",), (BitDepth(bits=2), JPEG())))[0].inner.inner is found["A"]
    with pytest.raises(UnknownName, match="role 'D'"):
        found["D"]
