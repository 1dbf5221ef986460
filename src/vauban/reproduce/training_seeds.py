"""Networks of a scale that are trained with several seeds: a role for each, and the cells that rest on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from vauban.core.errors import ContractError, plural
from vauban.reproduce.declarations import Craft, Scale, TableCell
from vauban.training.run import TrainingRun


def seeded_role(role: str, seed: int) -> str:
    """The role of a recipe's network that was trained with a seed."""
    return f"{role}, seed {seed}"


AGAIN = ", trained again"
KEY = "{key}"
"""What stands for the key of a training seed in a recipe's defence."""


def trained_again(role: str) -> str:
    """The role of a network trained like that of a role, with another seed: the next training seed of the scale."""
    return role + AGAIN


def seeded_recipes(scale: Scale) -> Mapping[str, TrainingRun]:
    """The recipes of a scale by role, one for each of its training seeds; what one starts from has the same seed.

    In the defence that a network is trained behind, `{seed}` is the seed and `{key}` the key that the scale names for it,
    `public:SEED` where it names none.

    Raises:
        ContractError: A seed comes twice, or there is another number of keys.
    """
    seeds = scale.training_seeds
    if len(set(seeds)) != len(seeds):
        raise ContractError(f"expected each training seed once, got {list(seeds)}")
    if not seeds:
        return scale.recipes

    def start(run: TrainingRun, seed: int) -> str | None:
        return seeded_role(run.start, seed) if run.start is not None and run.start in scale.recipes else run.start

    keys = scale.keys or tuple(f"public:{seed}" for seed in seeds)
    if len(keys) != len(seeds):
        raise ContractError(f"expected a key for each of {plural(len(seeds), 'training seed')}, got {len(keys)}")
    return {
        seeded_role(role, seed): replace(
            run, seed=seed, start=start(run, seed), defence=run.defence.replace("{seed}", str(seed)).replace(KEY, key)
        )
        for role, run in scale.recipes.items()
        for seed, key in zip(seeds, keys, strict=True)
    }


def seeded_cells(cell: TableCell, scale: Scale) -> list[TableCell]:
    """The cell with the networks of each training seed; the cell alone where it rests on none of the recipes."""
    trained = [role for role in cell.roles if role.removesuffix(AGAIN) in scale.recipes]
    seeds = scale.training_seeds
    if len(seeds) < 2 and any(role.endswith(AGAIN) for role in trained):
        raise ContractError(
            f"expected two training seeds or more for a network trained again, got {len(seeds)}; name them in the scale"
        )
    if not trained or not seeds:
        return [cell]
    following = (*seeds[1:], seeds[0])
    return [_with_roles(cell, trained, seed, other) for seed, other in zip(seeds, following, strict=True)]


def _with_roles(cell: TableCell, trained: Collection[str], seed: int, other: int) -> TableCell:
    def role(name: str) -> str:
        if name not in trained:
            return name
        return seeded_role(name.removesuffix(AGAIN), other if name.endswith(AGAIN) else seed)

    def craft(one: Craft) -> Craft:
        return replace(one, through=tuple(replace(t, network=role(t.network)) for t in one.through))

    return replace(
        cell,
        craft=None if cell.craft is None else craft(cell.craft),
        also=tuple(map(craft, cell.also)),
        judge=replace(cell.judge, networks=tuple(map(role, cell.judge.networks))),
    )
