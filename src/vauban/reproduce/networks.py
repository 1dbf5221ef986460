"""The networks of an experiment by role, and how attackers and judges see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from vauban import defences, models
from vauban.core.cards import Backward, bare, lacking
from vauban.core.contracts import Artefact, Words
from vauban.core.errors import ContractError, MissingExtra, UnknownName
from vauban.data.location import default_root
from vauban.engine import BoundThreat
from vauban.evaluate.attackers_means import RunMeans
from vauban.evaluate.unchanged import State, check_unchanged, state_of
from vauban.jobs.identity import address, describe
from vauban.jobs.perform import file_of_artefact
from vauban.reproduce.declarations import Craft, DefendedRole, Judge
from vauban.reproduce.declarations import Path as Before
from vauban.reproduce.defended_roles import DefendedRoles
from vauban.reproduce.training import TrainedNetworks
from vauban.threats.adaptive import prescription
from vauban.threats.base import Threat, is_random
from vauban.training.run import TrainingRun
from vauban.words.defence import TRAINED
from vauban.words.model import with_weights

WEIGHTS = Path(__file__).parent / "weights"
PRETRAINED = "pretrained=true"


class Networks:
    """Roles and what they stand for. In a spec, `{weights}` is the folder of the packaged weights and `{data}` that of the
    data sets (None: the default one). A network is loaded when it is first asked for, once for every spec. recipes: those
    that are trained first, and kept in the folder `trained`. defended: roles that are networks of others behind defences,
    which are fitted first, and kept in `fitted` beside it. untrained: where a spec would fetch pretrained weights or a
    recipe would train, random ones from a fixed seed; so of a defence, for images of `shape`.

    Raises UnknownName for a role that the scale does not name, and what `models.load` raises.
    """

    def __init__(
        self,
        specs: Mapping[str, str],
        device: str = "cpu",
        data: Path | None = None,
        untrained: bool = False,
        recipes: Mapping[str, TrainingRun] | None = None,
        trained: Path = Path("networks"),
        origin: Words | None = None,
        defended: Mapping[str, DefendedRole] | None = None,
        shape: tuple[int, ...] = (),
    ) -> None:
        places = {"{weights}": WEIGHTS, "{data}": default_root() if data is None else data}
        self.specs = {role: _filled(spec, places) for role, spec in specs.items()}
        self.recipes = {} if recipes is None else recipes
        fitted, root = trained.with_name("fitted"), data
        self.defended = DefendedRoles(fitted, defended or {}, self, root, device, origin, untrained, shape)
        named = [*self.specs, *self.recipes, *self.defended.declared]
        if twice := sorted(role for role in set(named) if named.count(role) > 1):
            raise ContractError(f"expected each role once, got {twice[0]!r} twice among models, recipes, defended ones")
        self.device, self.untrained, self.root = device, untrained, root
        self.surrogates = trained.with_name("surrogates")
        self._threats: dict[tuple[str, str], Threat] = {}
        self._trained = TrainedNetworks(trained, self.recipes, self.specs, data, device, origin)
        self._loaded: dict[tuple[str, str], nn.Module] = {}
        self._states: dict[tuple[str, str], State] = {}
        self._described: dict[tuple[str, str], Any] = {}

    def spec(self, role: str) -> str:
        """What a role stands for: the spec of a network, or a recipe in words."""
        if role in self.recipes:
            return str(self.recipes[role])
        if role not in self.specs:
            raise UnknownName("role", role, [*self.specs, *self.recipes, *self.defended.declared])
        return self.specs[role]

    def artefacts(self, roles: Iterable[str]) -> list[Artefact]:
        """What must be trained, and what fitted, before the networks of these roles can be asked."""
        if self.untrained:
            return []
        made: list[Artefact] = []
        for role in dict.fromkeys(roles):
            if role in self.defended:
                made += [*self.artefacts([self.defended.declared[role].network]), *self.defended.fitted(role)]
            elif role in self.recipes:
                made.append(self._trained[role])
        return list(dict.fromkeys(made))

    def code(self, role: str) -> nn.Module:
        """The network, or one of its architecture where it is still to be trained; of one behind defences that below."""
        if role in self.defended:
            return self.code(self.defended.declared[role].network)
        return self._trained[role].architecture if role in self.recipes and not self.untrained else self[role]

    def held(self, role: str) -> tuple[Any, ...]:
        """What decides with its code how the network of a role answers: the network, and the defences in front of it."""
        if role in self.defended:
            return (self.code(role), *self.defended.parts_of(role))
        behind_it = self.recipes[role].defence if role in self.recipes else "none"
        return (self.code(role),) if behind_it == "none" else (self.code(role), defences.load(behind_it))

    def __getitem__(self, role: str) -> nn.Module:
        key = self._key(role)
        if key not in self._loaded:
            made = self._built(role)
            self._loaded[key] = made.to(self.device)
            self._states[key] = state_of(self._loaded[key].modules())
        return self._loaded[key]

    def _built(self, role: str) -> nn.Module:
        if role in self.defended:
            return self.defended.wrapped(role)
        return self._made(role) if role in self.recipes else self._found(self.spec(role))

    def _unchanged(self, role: str) -> nn.Module:
        """The network as it was loaded. Raises StateChanged where other work has changed it."""
        network = self[role]
        check_unchanged(network.modules(), self._states[self._key(role)])
        return network

    def _key(self, role: str) -> tuple[str, str]:
        """The same for two roles of one spec."""
        if role in self.defended:
            return ("defended", role)
        return ("recipe", role) if role in self.recipes else ("spec", self.spec(role))

    def _made(self, role: str) -> nn.Module:
        run = self.recipes[role]
        if not self.untrained:
            file = file_of_artefact(self._trained[role])
            return (
                models.load(run.model, file)
                if run.defence == "none"
                else models.load(f"{TRAINED}|{with_weights(run.model, file)}")
            )
        module: nn.Module = self._trained[role].architecture
        return module if run.defence == "none" else defences.load(run.defence).wrap(module)

    def _found(self, spec: str) -> nn.Module:
        if self.untrained and PRETRAINED in spec:
            return models.build(spec.replace(PRETRAINED, "pretrained=false")).eval()
        return models.load(spec)

    def not_installed(self, roles: Iterable[str]) -> MissingExtra | None:
        """The package that one of these networks is made with and that is not there."""
        for role in roles:
            try:
                self.code(role)
            except MissingExtra as error:
                return error
        return None

    def describe(self, role: str) -> Any:
        """The structure, the attributes and the bytes of the weights, as in the identity of a cell; of a network that is
        trained for the experiment, what its training follows from."""
        if role in self.defended:
            return self.defended.describe(role)
        if role in self.recipes and not self.untrained:
            return {"artefact": address(self._trained[role].identity())}
        key = self._key(role)
        if key not in self._described:
            self._described[key] = describe(self[role])
        return self._described[key]

    def fingerprint(self, role: str) -> str:
        return address({"module": self.describe(role)})

    def threat(self, craft: Craft) -> BoundThreat:
        """The attacker of a craft: every source behind its path, with its backward rules; images are rounded to its grid.

        What an attack with a loop of its own calls success is read on the first source; where that is random, on the
        network below its path. Raises StateChanged where a network is no longer what was loaded, and what
        the threat of the craft raises.
        """
        if craft.threat is not None:
            return self._bound(craft.threat, craft)
        sources, backward = [], {}
        for through in craft.through:
            network = self._unchanged(through.network)
            source = behind(network, through.path)
            backward.update(rules(source, network, through.bpda))
            sources.append((source, through.weight))
        first = sources[0][0]
        target = self[craft.through[0].network] if is_random(first) else first
        return BoundThreat(
            target,
            "reproduction",
            tuple(sources),
            budget=craft.budget,
            backward=backward,
            draws=craft.draws,
            levels=craft.grid,
            limit=None,
        )

    def _bound(self, threat: Threat, craft: Craft) -> BoundThreat:
        """A threat by its own rules to the one network of a craft, prepared once: what it learns is kept in memory."""
        if len(craft.through) != 1 or craft.through[0].path or craft.draws != 1:
            got = f"{', '.join(t.network for t in craft.through)}, draws={craft.draws}"
            raise ContractError(
                f"expected one network behind no path, and draws=1, for a craft with a threat, which has its own; got {got}"
            )
        role = craft.through[0].network
        target = self._unchanged(role)
        key = (role, address({"threat": describe(threat)}))
        if key not in self._threats:
            below = bare(target)
            means = RunMeans(below, target, self.surrogates, self.root, self.device)
            self._threats[key] = threat.around(below).prepare(means)
        return self._threats[key].bind(target, levels=craft.grid, budget=craft.budget)

    def judges(self, judge: Judge) -> list[nn.Module]:
        """The networks that a judge asks, each behind the path. Raises StateChanged as `threat` does."""
        return [behind(self._unchanged(role), judge.path) for role in judge.networks]

    def lacking(self, craft: Craft) -> MissingExtra | None:
        """What a gradient of a craft needs and is not installed; nothing is trained or loaded twice to tell."""
        for through in craft.through:
            network = self.code(through.network)
            error = lacking(rules(behind(network, through.path), network, through.bpda).values())
            if error is not None:
                return error
        return None


def _filled(spec: str, places: Mapping[str, Path]) -> str:
    for mark, folder in places.items():
        spec = spec.replace(mark, str(folder))
    return spec


def behind(network: nn.Module, path: tuple[Before, ...]) -> nn.Module:
    """The network behind the parts of a path, the first of which an image meets first."""
    for part in reversed(path):
        network = part.wrap(network)
    return network


def rules(source: nn.Module, network: nn.Module, bpda: str) -> dict[nn.Module, Backward]:
    """What is differentiated in place of parts that are not differentiable: as the cards say, or with bpda="identity" the
    identity for those in front of `network`, with "none" nothing. Where two cards name one module, the outer one counts."""
    if bpda == "none":
        return {}
    front = set(source.modules()) - set(network.modules())
    return prescription(source, identity=front if bpda == "identity" else ())[0]
