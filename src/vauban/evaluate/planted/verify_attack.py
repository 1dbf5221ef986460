"""Planted test of one attack on one model: what a notebook calls."""

from __future__ import annotations

from typing import Any

from torch import nn

from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError, exits_are_errors
from vauban.core.goals import Goal
from vauban.core.norms import Ball
from vauban.core.parameters import check
from vauban.data import Dataset
from vauban.engine import Attack, BoundThreat
from vauban.evaluate.adaptation.expand import best_way
from vauban.evaluate.attack import attacked
from vauban.evaluate.grants import granted, told
from vauban.evaluate.planted.outcome import PlantedTest
from vauban.evaluate.planted.trial import Trial
from vauban.evaluate.unchanged import check_unchanged, state_of
from vauban.words import goal as goals
from vauban.words.attack import attack_of
from vauban.words.model import model_of, tell_behind
from vauban.words.threat import threat_of


@named_arguments
@exits_are_errors()
def verify_attack(
    attack: Any,
    model: nn.Module | str,
    batch: Any,
    *,
    threat: Any = "white-box",
    goal: Goal | str = "untargeted",
    readout: str | None = None,
    ball: Ball | None = None,
    seed: int = 0,
    rejects: bool = False,
) -> PlantedTest:
    """Test an attack on images near which an adversarial image is known to exist.

    For each image that the model answers rightly, the last linear layer with a column for each class is overridden on a
    copy so that a known image of the ball is adversarial on the final answer, random points hardly ever are, and the
    image itself is right; defences, backward rules and post-processing stay. An attack that works on this model finds an
    adversarial image for most of them. One that does not misses what exists; its robust accuracy is no evidence then,
    which does not say that the number is wrong. Zimmermann et al., NeurIPS 2022; departures in `planted.planting`.

    It costs 3000 to 4000 forwards an image and no backward, and the attack.

    Args:
        attack: An attack or its name, as `vauban.attack` takes it.
        model: A module, or its name.
        batch: A `Batch`, a pair (x, y), a data set or its name, as `vauban.attack` takes it; 20 images say enough.
        threat: One of `vauban.threats`, or its name; of the ways of `auto` the best is taken.
        goal: A goal, or its name.
        readout: Dotted name of the submodule whose input are the features and whose output has a column for each class;
            None: the last linear layers called that have, a 1x1 convolution among them.
        ball: Where images are planted by an attack without a budget; None: the conventional budget of the data.
        seed: Of every random number.
        rejects: The model's last logit means 'rejected', for one without a card that says so.

    Raises:
        UnknownName: A name is not known.
        ContractError: What is given does not fit together, or an attack without a budget is given no ball.
        AccessError: The attack asks for what the threat does not grant.
        NoGradient: The attack follows gradients, and there are none.
    """
    check("vauban.verify_attack", "seed", seed, int)
    check("vauban.verify_attack", "readout", readout, str | None)
    check("vauban.verify_attack", "ball", ball, Ball | None)
    data = attacked(batch)
    named = attack_of(attack, data if isinstance(data, Dataset) else None)
    network, whole = model_of(model, rejects), data.all() if isinstance(data, Dataset) else data
    tell_behind(network.name, network.behind)
    aim = goals.load(goal)
    meant, _ = best_way(threat_of(threat).value, network.value, network.network, data, whole, named.value, seed)
    bound: BoundThreat = told(meant, network.network).bind(network.value, levels=whole.levels)
    named = granted(named, aim, bound, whole.x.shape[1:])
    state = state_of(bound.parts)
    where = planted_ball(named.value, ball, data if isinstance(data, Dataset) else None)
    columns = Trial(named, bound, aim, where, seed, readout).run(whole)
    check_unchanged(bound.parts, state)
    return PlantedTest.of(named.name, columns)


def planted_ball(attack: Attack, ball: Ball | None, data: Dataset | None) -> Ball:
    """Where images are planted: the attack's own ball, else the one that is given, else the data's for its norm.

    Raises:
        ContractError: There is none, or an attack with a budget is given another one.
    """
    if attack.ball is not None:
        if ball is not None and ball != attack.ball:
            raise ContractError(
                f"expected no ball beside an attack with the budget {attack.ball}, got {ball}; leave it out"
            )
        return attack.ball
    if ball is not None:
        return ball
    radius = None if data is None else data.budgets.get(attack.norm.name)
    if radius is None:
        raise ContractError(
            "expected a ball in which images are planted for an attack without a budget, got none; "
            f"give ball=vb.{attack.norm.name.capitalize()}(...)"
        )
    return attack.norm(radius)
