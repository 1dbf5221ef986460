"""What the attacker may see and change: a threat opens the door to the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from vauban.core.cards import Backward, carded
from vauban.core.contracts import check_ids, check_images, check_labels
from vauban.core.errors import ContractError
from vauban.core.goals import Goal, Untargeted
from vauban.core.lattice import on_lattice
from vauban.core.norms import Ball
from vauban.core.rng import Stream
from vauban.core.seeded import seeded
from vauban.engine.ask import Ask
from vauban.engine.network import Source, predict, quiet

ALL = frozenset({"gradients", "scores", "labels"})


@dataclass(frozen=True, eq=False)
class Threat:
    """target: the network that is judged, always the defended one. sources: the weighted networks that give gradients
    (the target itself when empty). grants: a subset of gradients, scores, labels. budget: forward passes per sample.

    backward: BPDA rules for submodules, in force during gradients only. draws: gradients averaged per call (EOT).
    random: two calls of the target on one image may differ. levels: pixel levels of the images the network is shown
    (None: unrounded). limit: the ball that the verdict enforces. confirm: the loop asks the target for its label of every
    iterate, for gradients that do not show the target's own logits; one more forward per step.
    """

    target: nn.Module
    name: str = "white-box"
    sources: tuple[Source, ...] = ()
    grants: frozenset[str] = ALL
    budget: int | None = None
    backward: Mapping[nn.Module, Backward] = field(default_factory=dict)
    draws: int = 1
    random: bool = False
    levels: int | None = 256
    limit: Ball | None = None
    confirm: bool = False

    def __post_init__(self) -> None:
        if not self.grants <= ALL:
            raise ContractError(f"expected grants among {sorted(ALL)}, got {sorted(self.grants - ALL)}")
        if self.draws < 1:
            raise ContractError(f"expected draws >= 1, got {self.draws}")
        if self.sources and not any(weight for _, weight in self.sources):
            raise ContractError("expected at least one source with a weight other than zero, got all zero")
        strangers = [type(module).__name__ for module in self.backward if module not in self.parts]
        if strangers:
            raise ContractError(
                f"expected backward rules for modules of the networks, got {strangers[0]}, which is not"
            )

    @cached_property
    def parts(self) -> list[nn.Module]:
        """Every module of the target and the sources, once."""
        return list(dict.fromkeys(m for net, _ in ((self.target, 1.0), *self.networks) for m in net.modules()))

    @cached_property
    def networks(self) -> tuple[Source, ...]:
        """The weighted networks whose loss is differentiated."""
        return self.sources or ((self.target, 1.0),)

    @cached_property
    def randomised(self) -> bool:
        """Whether a single answer of the target proves nothing: declared here or on a defence's card."""
        return self.random or any(card.random for _, card in carded(self.target))

    @cached_property
    def noisy(self) -> bool:
        """Whether the target or a source draws random numbers."""
        return self.randomised or any(card.random for network, _ in self.networks for _, card in carded(network))

    @cached_property
    def direct(self) -> bool:
        """Whether the logits seen with a gradient are the judged network's own and deterministic."""
        networks = self.networks
        return len(networks) == 1 and networks[0][0] is self.target and not self.randomised

    def open(
        self, x: Tensor, y: Tensor, goal: Goal | None = None, ids: Tensor | None = None, seed: int = 0,
        mask: Tensor | None = None,
    ) -> Ask:  # fmt: skip
        """Check the batch and the model once, resolve the goal, and hand out the door.

        x `(batch, ...)` in [0,1]; y `(batch,)`; mask broadcasts to x, False where the attacker may not change anything.
        Raises ContractError when images, labels, mask or the model's output break the contract.
        """
        x = check_images(x).detach()
        if self.levels is not None and not on_lattice(x, self.levels):
            raise ContractError(
                f"expected images on the grid of {self.levels} pixel levels, got values between levels; "
                "pass levels=None for continuous data"
            )
        if mask is not None:
            mask = _mask_like(mask, x)
        ids = torch.arange(len(x), device=x.device) if ids is None else check_ids(ids, len(x))
        rng = Stream(seed, ids)
        classes = self._probe(x[:1].clone(), seed)
        check_labels(y, len(x), classes)
        goal = goal or Untargeted()
        ask = Ask(self, x, rng, parts=self.parts, classes=classes, mask=mask)
        logits = ask.clean_logits() if goal.needs_logits else None
        return ask.aimed(goal.resolve(y, logits, classes, rng))

    def _probe(self, x: Tensor, seed: int) -> int:
        """How many classes every network has, by asking each for one image; not counted as a query."""
        with quiet(self.parts), seeded(seed, "probe", device=x.device):
            try:
                counts = [predict(net, x).shape[1] for net in dict.fromkeys((self.target, *dict(self.networks)))]
            except (RuntimeError, ValueError, IndexError, TypeError) as error:
                reason = str(error).strip().split("\n")[0]
                raise ContractError(
                    f"expected a model that takes {x.dtype} images of shape {tuple(x.shape)}, but it failed: {reason}"
                ) from error
        if len(set(counts)) > 1:
            raise ContractError(f"expected sources with the target's {counts[0]} classes, got {counts[1:]}")
        return counts[0]


def _mask_like(mask: Tensor, x: Tensor) -> Tensor:
    try:
        return mask.to(device=x.device, dtype=torch.bool).expand_as(x)
    except RuntimeError:
        raise ContractError(f"expected a mask that broadcasts to {tuple(x.shape)}, got {tuple(mask.shape)}") from None
