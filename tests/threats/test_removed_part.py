"""One defence taken out of a chain: who answers, whose gradients are followed, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import vauban as vb
from vauban import Linf, attacks, defences, threats
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.losses import cross_entropy
from vauban.engine import Oracle

CHAIN = "gaussian-filter+bit-depth:bits=2+mean-filter"


@pytest.fixture
def batch() -> Batch:
    return vb.data.load("digits/test[:12]").all()


@pytest.mark.parametrize(
    ("part", "left"),
    [
        ("bit-depth", "gaussian-filter+mean-filter"),
        ("gaussian-filter", "bit-depth:bits=2+mean-filter"),
        ("mean-filter", "gaussian-filter+bit-depth:bits=2"),
    ],
)
def test_the_rest_of_the_chain_answers_and_the_whole_gives_gradients(
    part: str, left: str, batch: Batch, digits_cnn: nn.Module
) -> None:
    whole, rest = (defences.load(text).wrap(digits_cnn) for text in (CHAIN, left))
    bound = threats.removed(part=part).bind(whole, levels=256)
    assert torch.equal(bound.target(batch.x), rest(batch.x))
    adaptive = threats.adaptive().bind(whole, levels=256)
    ours, theirs = (
        Oracle.open(threat, batch.x, batch.y).gradient(batch.x, cross_entropy)[1][0] for threat in (bound, adaptive)
    )
    assert torch.equal(ours, theirs)
    assert ours.abs().sum() > 0  # by the card of bit-depth


def test_all_parts_removed_is_the_bare_network(batch: Batch, digits_cnn: nn.Module) -> None:
    whole = defences.load("gaussian-filter").wrap(digits_cnn)
    one, every = (
        vb.attack(attacks.PGD(Linf(0.1), steps=5), whole, batch, threat=threat)
        for threat in (threats.removed(part="gaussian-filter"), threats.removed())
    )
    assert torch.equal(one.adversarial, every.adversarial)
    assert torch.equal(one.success, every.success)


def test_draws_follow_the_card(digits_cnn: nn.Module) -> None:
    whole = defences.load("gaussian-noise:sigma=0.1+bit-depth:bits=3").wrap(digits_cnn)
    assert threats.removed(part="bit-depth").bind(whole, levels=256).draws == 16


@pytest.mark.parametrize(
    ("chain", "options", "told"),
    [
        (CHAIN, {"part": "jpeg"}, "has gaussian-filter, bit-depth, mean-filter; got no one of that name"),
        ("mean-filter:size=3+mean-filter:size=5", {"part": "mean-filter"}, "got several of that name"),
        ("none", {"part": "jpeg"}, "which has none"),
        (CHAIN, {"part": "bit-depth", "draws": 2}, "follow the cards"),
        (CHAIN, {"part": "bit-depth", "bpda": "transform"}, "follow the cards"),
    ],
)
def test_what_cannot_be_removed_is_told_in_one_line(
    chain: str, options: dict[str, object], told: str, digits_cnn: nn.Module
) -> None:
    with pytest.raises(ContractError, match=told) as error:
        threats.removed(**options).bind(defences.load(chain).wrap(digits_cnn), levels=256)
    assert "\n" not in str(error.value)
