"""Fitted attacks of an experiment: artefacts that are made on first use and shared between experiments."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vauban import data
from vauban.core.contracts import Artefact, Words
from vauban.core.errors import ContractError
from vauban.data import Dataset
from vauban.engine import Attack
from vauban.evaluate.fit import named, visits
from vauban.evaluate.unchanged import check_unchanged, state_of
from vauban.jobs.identity import address, computed_by, describe
from vauban.jobs.perform import file_of_artefact
from vauban.reproduce.context import Context, source_parts, sources_identity
from vauban.reproduce.declarations import Craft, FitOnUse

log = logging.getLogger("vauban")


@dataclass(frozen=True, eq=False)
class FittedAttack:
    """The file of an attack that is fitted on images that are not attacked, named by everything that it follows from.

    Attributes:
        context: The run.
        craft: A craft whose attack is fitted; its networks, draws and grid are those of the fit.

    Raises:
        ContractError: The craft is targeted, since its targets are those of other images, or an image is fitted on that is
            attacked.
    """

    context: Context
    craft: Craft

    def __post_init__(self) -> None:
        if self.craft.targeted:
            raise ContractError(f"expected an untargeted craft for an attack that is fitted, got {self.craft}")
        fitted_on, attacked = self.dataset, self.context.data
        both = {*fitted_on.rows.tolist()} & {*attacked.rows.tolist()}
        if both and (fitted_on.name, fitted_on.split) == (attacked.name, attacked.split):
            raise ContractError(f"expected to fit on other images than those attacked, got image {min(both)} in both")

    @property
    def fit(self) -> FitOnUse:
        """What is fitted on what."""
        assert isinstance(self.craft.attack, FitOnUse)
        return self.craft.attack

    @cached_property
    def dataset(self) -> Dataset:
        """The images to fit on."""
        return data.load(self.fit.data, root=self.context.root)

    @property
    def label(self) -> str:
        return f"fitting on {self.fit.data}"

    @cached_property
    def path(self) -> Path:
        short = type(self.fit.fitter).__name__.lower()
        return self.context.out / "fitted" / f"{short}-{address(self.identity())}.safetensors"

    def identity(self) -> Mapping[str, Any]:
        """The fitter, the networks, the grid, the data and the code."""
        return self._identity

    @cached_property
    def _identity(self) -> Mapping[str, Any]:
        context, craft, fitter = self.context, self.craft, self.fit.fitter
        described = describe(fitter)
        return {
            "fitter": described,
            "through": sources_identity(context, craft),
            "draws": craft.draws,
            "grid": craft.grid,
            **computed_by(context.device),
            "data": self.dataset.fingerprint,
            "sources": context.code([(described, fitter), *source_parts(context, craft)]),
        }

    def needs(self) -> Sequence[Artefact]:
        return self.context.networks.artefacts(t.network for t in self.craft.through)

    def words(self) -> Words | None:
        origin = self.context.origin
        return None if origin is None else Words(origin.call, {**origin.arguments, "address": str(self.path)})

    def make(self, scratch: Path, tell: Callable[[int, int], None]) -> None:
        """Fit; progress counts the images seen. Raises MissingExtra and StateChanged as the job of a craft does."""
        networks = self.context.networks
        if (error := networks.lacking(self.craft)) is not None:
            raise error
        fitter, dataset = self.fit.fitter, self.dataset
        log.info("fitting %s: %s on %s", self.path.name, fitter, self.fit.data)
        total, seen = getattr(fitter, "epochs", 1) * len(dataset), 0

        def passed(images: int, rate: float) -> None:
            nonlocal seen
            seen += images
            tell(seen, total)

        tell(0, total)
        threat = networks.threat(self.craft)
        state = state_of(threat.parts)
        result = fitter.fit(threat, visits(dataset, self.context.device), callback=passed)
        check_unchanged(threat.parts, state)
        fitter.save(result, self.path, {**self.identity(), "data": named(dataset)})
        tell(total, total)

    def attack(self) -> Attack:
        """The fitted attack, read from its file."""
        return self.fit.fitter.load(file_of_artefact(self))
