"""The networks of an experiment by role, and how attackers and judges see them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from vauban import models
from vauban.core.cards import Backward, carded
from vauban.core.errors import UnknownName
from vauban.data.named import default_root
from vauban.engine import Threat
from vauban.evaluate.identity import cell_hash, describe
from vauban.experiments.spec import Craft, Judge
from vauban.experiments.spec import Path as Before
from vauban.threats.base import is_random, rules_of

WEIGHTS = Path(__file__).parent / "weights"
PRETRAINED = "pretrained=true"


class Networks:
    """Roles and what they stand for. In a spec, `{weights}` is the folder of the packaged weights and `{data}` that of the
    data sets (None: the default one). A network is loaded when it is first asked for, once for every spec. untrained:
    where a spec would fetch pretrained weights, random ones from a fixed seed.

    Raises UnknownName for a role that the scale does not name, and what `models.load` raises.
    """

    def __init__(
        self, specs: Mapping[str, str], device: str = "cpu", data: Path | None = None, untrained: bool = False
    ) -> None:
        places = {"{weights}": WEIGHTS, "{data}": default_root() if data is None else data}
        self.specs = {role: _filled(spec, places) for role, spec in specs.items()}
        self.device, self.untrained = device, untrained
        self._loaded: dict[str, nn.Module] = {}
        self._described: dict[str, Any] = {}

    def spec(self, role: str) -> str:
        if role not in self.specs:
            raise UnknownName("role", role, self.specs)
        return self.specs[role]

    def __getitem__(self, role: str) -> nn.Module:
        spec = self.spec(role)
        if spec not in self._loaded:
            fetched = self.untrained and PRETRAINED in spec
            made = models.build(spec.replace(PRETRAINED, "pretrained=false")).eval() if fetched else models.load(spec)
            self._loaded[spec] = made.to(self.device)
        return self._loaded[spec]

    def describe(self, role: str) -> Any:
        """The structure, the attributes and the bytes of the weights, as in the identity of a cell."""
        spec = self.spec(role)
        if spec not in self._described:
            self._described[spec] = describe(self[role])
        return self._described[spec]

    def fingerprint(self, role: str) -> str:
        return cell_hash({"module": self.describe(role)})

    def threat(self, craft: Craft) -> Threat:
        """The attacker of a craft: every source behind its path, with its backward rules; images are not rounded.

        What an attack with a loop of its own calls success is read on the first source; where that is random, on the
        network below its path.
        """
        sources, backward = [], {}
        for through in craft.through:
            network = self[through.network]
            source = behind(network, through.path)
            backward.update(rules(source, network, through.bpda))
            sources.append((source, through.weight))
        first = sources[0][0]
        target = self[craft.through[0].network] if is_random(first) else first
        return Threat(
            target, "reproduction", tuple(sources), backward=backward, draws=craft.draws, levels=None, limit=None
        )

    def judges(self, judge: Judge) -> list[nn.Module]:
        """The networks that a judge asks, each behind the path."""
        return [behind(self[role], judge.path) for role in judge.networks]


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
    identity for those in front of `network`. Where two cards name one module, the outer one counts."""
    own = set(network.modules())
    found: dict[nn.Module, Backward] = {}
    for part, card in carded(source):
        identity = bpda == "identity" and part not in own
        found = rules_of(part, dict.fromkeys(card.backward) if identity else card.backward) | found
    return found
