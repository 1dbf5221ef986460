"""Networks of an experiment behind defences that are fitted on first use, each as a role of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

from torch import nn

from vauban import data, defences
from vauban.core.contracts import Artefact, Words
from vauban.core.errors import ContractError
from vauban.data import Dataset
from vauban.defences.base import Defence
from vauban.defences.fitter import DefenceFitter
from vauban.evaluate.fit import fitted_defence, named
from vauban.evaluate.unchanged import check_unchanged, state_of
from vauban.jobs.identity import address, computed_by, describe, source_digests
from vauban.jobs.perform import file_of_artefact
from vauban.jobs.provenance import source_files
from vauban.reproduce.declarations import DefenceOnUse, DefendedRole, FitterOnUse

log = logging.getLogger("vauban")


class Roles(Protocol):
    """The networks that stand below defences, by role."""

    def __getitem__(self, role: str) -> nn.Module: ...
    def describe(self, role: str) -> Any: ...
    def code(self, role: str) -> nn.Module: ...
    def artefacts(self, roles: Sequence[str]) -> Sequence[Artefact]: ...


@dataclass(frozen=True, eq=False)
class FittedDefence:
    """The file of a defence that is fitted on the undefended network of a role, named by all that it follows from.

    Attributes:
        fitter: What fits it.
        read: What stands for options of the fitter: other fitted defences, whose files it reads.
        dataset: The images to fit on.
        role: The network.
        roles: The networks by role.
        folder: Where the file is kept.
        root: Of the data.
        device: Where to fit.
        origin: The words that make this artefact again, without its address.
    """

    fitter: DefenceFitter | FitterOnUse
    read: Mapping[str, FittedDefence]
    dataset: Dataset
    role: str
    roles: Roles
    folder: Path
    device: str = "cpu"
    origin: Words | None = None

    @property
    def label(self) -> str:
        return f"fitting {self.fitter.kind} on {self.dataset.name}/{self.dataset.split}"

    @cached_property
    def path(self) -> Path:
        return self.folder / f"{self.fitter.kind}-{address(self.identity())}.safetensors"

    def identity(self) -> Mapping[str, Any]:
        """The fitter, the network where it is read, the data, the device's type, torch's minor version and the code."""
        return self._identity

    @cached_property
    def _identity(self) -> Mapping[str, Any]:
        fitter = self.fitter.make if isinstance(self.fitter, FitterOnUse) else self.fitter
        parts = (fitter, self.roles.code(self.role)) if self._reads_network else (fitter,)
        return {
            "fitter": described_fitter(self.fitter, self.read),
            "network": self.roles.describe(self.role) if self._reads_network else None,
            **computed_by(self.device),
            "data": self.dataset.fingerprint,
            "sources": source_digests(source_files(*parts)),
        }

    @property
    def _reads_network(self) -> bool:
        return isinstance(self.fitter, FitterOnUse) or self.fitter.reads_network

    def needs(self) -> Sequence[Artefact]:
        return [*(self.roles.artefacts([self.role]) if self._reads_network else ()), *self.read.values()]

    def words(self) -> Words | None:
        origin = self.origin
        return None if origin is None else Words(origin.call, {**origin.arguments, "address": str(self.path)})

    def make(self, scratch: Path, tell: Callable[[int, int], None]) -> None:
        """Fit; progress counts the images read. Raises StateChanged where the network is no longer what was loaded."""
        log.info("fitting %s: %s", self.path.name, self.fitter)
        fitter = built_fitter(self.fitter, {name: file_of_artefact(other) for name, other in self.read.items()})
        total = getattr(fitter, "epochs", 1) * len(self.dataset)
        tell(0, total)
        network = self.roles[self.role] if self._reads_network else None
        modules = [] if network is None else list(network.modules())
        state = state_of(modules)
        fitted = fitted_defence(
            fitter,
            network,
            self.dataset,
            device=self.device,
            scratch=scratch,
            callback=lambda n: tell(n, max(n, total)),
        )
        check_unchanged(modules, state)
        fitter.save(fitted, self.path, {**self.identity(), "data": named(self.dataset)})


def built_fitter(fitter: DefenceFitter | FitterOnUse, files: Mapping[str, Path]) -> DefenceFitter:
    """The fitter, with the files that it reads."""
    return fitter.make(**{**dict(fitter.options), **files}) if isinstance(fitter, FitterOnUse) else fitter


def described_fitter(fitter: DefenceFitter | FitterOnUse, read: Mapping[str, FittedDefence]) -> Any:
    """A fitter as it stands in an identity, other fits by what they follow from."""
    if not isinstance(fitter, FitterOnUse):
        return describe(fitter)
    return {"is": describe(fitter.make), **described_options(fitter.options, read)}


def described_options(options: tuple[tuple[str, Any], ...], read: Mapping[str, FittedDefence]) -> dict[str, Any]:
    """Options as they stand in an identity, other fits by what they follow from."""
    others = {name: {"artefact": address(other.identity())} for name, other in read.items()}
    return {name: others[name] if name in others else describe(value) for name, value in options}


@dataclass(frozen=True, eq=False)
class DefendedRoles:
    """The roles that stand for a network behind defences.

    Attributes:
        folder: Where files are kept.
        declared: By role.
        roles: All networks by role.
        root: Of the data.
        device: Where to fit.
        origin: The words that make an artefact again, without its address.
        untrained: Whether nothing is fitted: a defence then has random weights, and where there are none of its kind the
            network stands bare.
        shape: Of an image, for random weights.
    """

    folder: Path
    declared: Mapping[str, DefendedRole]
    roles: Roles
    root: Path | None = None
    device: str = "cpu"
    origin: Words | None = None
    untrained: bool = False
    shape: tuple[int, ...] = ()
    _made: dict[tuple[str, DefenceOnUse], FittedDefence] = field(default_factory=dict, repr=False)

    def __contains__(self, role: object) -> bool:
        return role in self.declared

    def fitted(self, role: str) -> list[FittedDefence]:
        """What is fitted for a role: of each part, in their order, what its options name and then itself."""
        below = self.declared[role]
        made: list[FittedDefence] = []
        for part in below.parts:
            if isinstance(part, DefenceOnUse):
                made += [*self._read(below.network, part.options).values(), self._fit(below.network, part)]
        return list(dict.fromkeys(made))

    def _fit(self, network: str, part: DefenceOnUse) -> FittedDefence:
        key = (network, part)
        if key not in self._made:
            dataset = data.load(part.data, root=self.root)
            options = part.fitter.options if isinstance(part.fitter, FitterOnUse) else ()
            read = self._read(network, options)
            self._made[key] = FittedDefence(
                part.fitter, read, dataset, network, self.roles, self.folder, self.device, self.origin
            )
        return self._made[key]

    def _read(self, network: str, options: tuple[tuple[str, Any], ...]) -> dict[str, FittedDefence]:
        """The other fits that stand for options."""
        return {name: self._fit(network, value) for name, value in options if isinstance(value, DefenceOnUse)}

    def wrapped(self, role: str) -> nn.Module:
        """The network of a role behind its parts, the first of which an image meets first."""
        below = self.declared[role]
        network = self.roles[below.network]
        for part in reversed(below.parts):
            if not isinstance(part, DefenceOnUse):
                network = part.wrap(network)
            elif (defence := self._defence(below.network, part)) is not None:
                network = defence.wrap(network)
        return network

    def _defence(self, network: str, part: DefenceOnUse) -> Defence | None:
        if not self.untrained:
            return self._loaded(network, part)
        made = part.fitter.without_files() if isinstance(part.fitter, FitterOnUse) else part.fitter
        random = None if made is None else made.untrained(self.shape)
        return None if random is None else replace(cast(Any, random), **dict(part.options))

    def _loaded(self, network: str, part: DefenceOnUse) -> Defence:
        read = self._read(network, part.options)
        files = {name: file_of_artefact(other) for name, other in read.items()}
        given = {"file": file_of_artefact(self._fit(network, part)), **dict(part.options), **files}
        made: Defence = defences.registry.get(part.fitter.kind).build("defence", given)
        return made

    def describe(self, role: str) -> Any:
        """What the answers of a role follow from: the network's description, and those of its parts."""
        below = self.declared[role]
        parts = [
            self._described(below.network, part) if isinstance(part, DefenceOnUse) else describe(part)
            for part in below.parts
        ]
        return {"network": self.roles.describe(below.network), "behind": parts}

    def _described(self, network: str, part: DefenceOnUse) -> Any:
        if self.untrained:
            return {"untrained": str(part), "shape": list(self.shape)}
        options = described_options(part.options, self._read(network, part.options))
        return {"artefact": address(self._fit(network, part).identity()), "options": options}

    def parts_of(self, role: str) -> list[Any]:
        """The defences of a role, and what fits them, for their code."""
        parts = self.declared[role].parts
        classes = [defences.registry.get(part.fitter.kind).make for part in parts if isinstance(part, DefenceOnUse)]
        return [*parts, *classes]

    def check_apart(self, attacked: Dataset) -> None:
        """Raises ContractError where an image that a defence is fitted on is attacked."""
        for fitted in self._made.values():
            own = fitted.dataset
            both = {*own.rows.tolist()} & {*attacked.rows.tolist()}
            if both and (own.name, own.split) == (attacked.name, attacked.split):
                raise ContractError(
                    f"expected to fit on other images than those attacked, got image {min(both)} in both"
                )
