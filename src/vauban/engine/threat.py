"""Bound threat: what the attacker may see and change of given networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from vauban.core.answers import ALL, hides_scores, revealed
from vauban.core.arithmetic import Precision
from vauban.core.cards import Backward, carded, rejecting
from vauban.core.errors import ContractError
from vauban.core.norms import Ball
from vauban.core.parameters import Count, Parameters
from vauban.core.pixel_grid import Levels
from vauban.core.rng import seeded
from vauban.engine.first_answer import first_answer
from vauban.engine.network import WeightedModule, quiet

DRAWS = 20
"""Answers of a randomised target to one image, where it is judged and in the closing check of a run."""


@dataclass(frozen=True, eq=False)
class BoundThreat(Parameters):
    """A threat with its networks; `Oracle.open` gives an attack access to them.

    Attributes:
        target: The network that is judged, always the defended one.
        name: What tables call the threat.
        sources: The weighted networks that give gradients; empty: the target itself.
        grants: A subset of gradients, scores, labels; what the networks do not give is taken out: gradients of a black box,
            scores of one that answers labels.
        budget: Forward passes per sample; None: no bound.
        backward: Backward rules (BPDA) of submodules, in force during gradients only.
        draws: Gradients averaged per call (EOT).
        random: Two calls of the target on one image may differ.
        levels: Pixel levels of the images the networks are shown; None: unrounded.
        limit: The ball that the verdict enforces.
        half: The half-precision type of the images that the networks are given, for attacks on such images; None: the
            networks are given images in the type in which the attack computes.
        confirm: The loop asks the target for its label of every iterate, for gradients that do not show the target's
            own logits; one more forward per step.
        precision: In which networks answer an attack. What they answer in less than float32 is a success where the target
            confirms it in float32.
        compiled: Whether the forward of networks is compiled; not together with backward rules, which are hooks.
        passes: Forward and backward passes per sample, counted together; None: no bound.

    Raises:
        ContractError: A value of another type or out of its range, unknown grants, weights that are all zero, or a rule for
            a module of no network.
    """

    target: nn.Module
    name: str = "white-box"
    sources: tuple[WeightedModule, ...] = ()
    grants: frozenset[str] = ALL
    budget: Count | None = None
    backward: Mapping[nn.Module, Backward] = field(default_factory=dict)
    draws: Count = 1
    random: bool = False
    levels: Levels | None = 256
    limit: Ball | None = None
    half: torch.dtype | None = None
    confirm: bool = False
    precision: Precision = "float32"
    compiled: bool = False
    passes: Count | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.grants <= ALL:
            raise ContractError(f"expected grants among {sorted(ALL)}, got {sorted(self.grants - ALL)}")
        if self.sources and not any(weight for _, weight in self.sources):
            raise ContractError("expected at least one source with a weight other than zero, got all zero")
        strangers = [type(module).__name__ for module in self.backward if module not in self.parts]
        if strangers:
            raise ContractError(
                f"expected backward rules for modules of the networks, got {strangers[0]}, which is not"
            )
        object.__setattr__(self, "grants", self.grants & self._given)

    @property
    def _given(self) -> frozenset[str]:
        """What the networks can be asked for: answers of the target, gradients of each that is differentiated."""
        followed = all("gradients" in revealed(network) for network, _ in self.networks)
        return (revealed(self.target) - {"gradients"}) | ({"gradients"} if followed else frozenset())

    @cached_property
    def hides_scores(self) -> bool:
        """Whether the target tells its largest scores alone."""
        return hides_scores(self.target)

    @cached_property
    def parts(self) -> list[nn.Module]:
        """Every module of the target and the sources, once."""
        return list(dict.fromkeys(m for net, _ in ((self.target, 1.0), *self.networks) for m in net.modules()))

    @cached_property
    def networks(self) -> tuple[WeightedModule, ...]:
        """Weighted networks whose loss is differentiated."""
        return self.sources or ((self.target, 1.0),)

    @cached_property
    def randomised(self) -> bool:
        """Whether a single answer of the target proves nothing: declared here or on a defence's card."""
        return self.random or any(card.random for _, card in carded(self.target))

    @cached_property
    def rejects(self) -> bool:
        """Whether the last logit of the target means 'rejected', as a card in it says."""
        return rejecting(self.target)

    @cached_property
    def noisy(self) -> bool:
        """Whether the target or a source draws random numbers."""
        return self.randomised or any(card.random for network, _ in self.networks for _, card in carded(network))

    @cached_property
    def direct(self) -> bool:
        """Whether the logits seen with a gradient are the judged network's own and deterministic."""
        networks = self.networks
        return len(networks) == 1 and networks[0][0] is self.target and not self.randomised


def probe_classes(threat: BoundThreat, x: Tensor, seed: int = 0, rejects: bool = False) -> int:
    """Number of logits of the target, by asking every network of a threat for a few images; not counted as a query.

    A source has as many, but for the one that means 'rejected', which either may lack.

    Args:
        threat: The threat.
        x: The images, `(batch, ...)`.
        seed: Seed of the networks that draw random numbers.
        rejects: The last logit of the target means 'rejected', whatever the cards say.

    Raises:
        ContractError: A network fails on x, or the networks have different numbers of classes.
    """
    with quiet(threat.parts), seeded(seed, "probe", device=x.device):
        networks = dict.fromkeys((threat.target, *dict(threat.networks)))
        counts = {net: first_answer(net, x, threat.half).shape[1] for net in networks}
    logits = counts.pop(threat.target)
    fit = {logits, logits - (rejects or threat.rejects)}
    if strangers := [n for net, n in counts.items() if n not in fit and n - rejecting(net) != logits]:
        raise ContractError(
            f"expected sources with the target's {logits} classes, got {strangers}; where one network has a last class for "
            "'rejected' and another has not, say so on its card or with wrap(model, rejects=True)"
        )
    return logits
