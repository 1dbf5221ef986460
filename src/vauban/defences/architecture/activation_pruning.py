"""Stochastic activation pruning (Dhillon et al. 2018, arXiv:1803.01442, section 3 and algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from vauban.core.cards import Card, Defended, bare, in_training
from vauban.core.errors import ContractError
from vauban.core.parameters import Parameters, Range, Whole
from vauban.core.surgery import replaced
from vauban.defences import registry
from vauban.defences.base import check_module
from vauban.defences.features.layers import Followed, layer_of
from vauban.models.edits.brelu import RECTIFIERS

KIND = "stochastic-activation-pruning"
LARGEST = 2**24  # categories that torch's multinomial takes


class Pruning(nn.Module):
    """A map h with few of its activations, scaled so that its mean over draws is h.

    Of the n activations of an image, round(share n) are drawn with replacement, r times in all, activation j with
    probability p_j = |h_j| / sum_i |h_i|; those never drawn become 0, the others h_j / (1 - (1 - p_j)^r).

    Attributes:
        share: Draws as a share of the activations.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, h: Tensor) -> Tensor:
        flat = h.flatten(1)
        if flat.shape[1] > LARGEST:
            raise ContractError(f"expected at most {LARGEST} activations to prune, got {flat.shape[1]}")
        draws = max(1, round(self.share * flat.shape[1]))
        size = flat.abs().double()
        total = size.sum(1, keepdim=True)
        p = size / total.where(total > 0, 1)
        # A map of zeros alone has no distribution, and nothing to prune.
        drawn = torch.multinomial(p.detach() + (total == 0), draws, replacement=True)
        kept = torch.zeros_like(flat, dtype=torch.bool).scatter_(1, drawn, True)
        kept_probability = -torch.expm1(draws * torch.log1p(-p.clamp(max=1 - 1e-15)))
        scale = kept / kept_probability.where(kept & (p > 0), 1)
        return (flat * scale.to(flat.dtype)).view_as(h)

    def extra_repr(self) -> str:
        return f"share={self.share}"


class ActivationsPruned(Defended):
    """The copy of a network with `Pruning` behind its layers: logits `(batch, classes)`.

    Attributes:
        changed: The copy that answers.
    """

    def __init__(self, inner: nn.Module, card: Card, changed: nn.Module) -> None:
        super().__init__(inner, card)
        self.changed = changed
        self.training = in_training(inner)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.changed(x)
        return logits


@registry.register(KIND, random=True, differentiable=True, example="layer=0")
@dataclass(frozen=True)
class StochasticActivationPruning(Parameters):
    """Activations drawn in proportion to their size, the others zero: `Pruning` behind every ReLU and its kin.

    Weights are shared and the network needs no training behind it. Draws are from torch's global generator, which the
    oracle forks and seeds; each image has its own. Differentiable for a fixed draw, probabilities included; the adaptive
    attack averages gradients over draws (EOT), as Athalye, Carlini, Wagner 2018, arXiv:1802.00420, section 5.3.1, do.
    Dhillon et al. 2018, arXiv:1803.01442, section 3.

    Attributes:
        layer: Name of the one layer that is pruned, as in `named_modules()`; None: every activation that is a module.
        share: Draws as a share of the activations of a layer; 1 is the paper's SAP-100.

    Raises:
        ContractError: A share outside its range; when wrapped, no activations that are modules.
        UnknownName: When wrapped, no such layer.

    Departures: none known. Activations that the network calls as functions (torch.relu) are out of reach and stay.
    """

    layer: str | Whole | None = None
    share: Annotated[float, Range(0, 100, open_low=True)] = 1.0
    registered: ClassVar[str] = KIND
    reference: ClassVar[str] = "Dhillon et al. 2018, arXiv:1803.01442"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.layer, int):
            object.__setattr__(self, "layer", str(self.layer))  # of a part of a Sequential

    @property
    def card(self) -> Card:
        """Random, with a gradient of its own for each draw."""
        return Card(KIND, random=True, draws=16, reference=self.reference)

    @property
    def name(self) -> str:
        """Name on the command line."""
        return f"{KIND}:" + ("" if self.layer is None else f"layer={self.layer},") + f"share={self.share}"

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with its activations pruned; weights are shared, modes are kept.

        Raises:
            ContractError: Something that is no torch module, or no activation that is a module.
            UnknownName: No such layer.
        """
        network = bare(check_module(module))
        if self.layer is not None:
            layers = [layer_of(module, str(self.layer))]
        else:
            layers = [part for part in network.modules() if isinstance(part, RECTIFIERS)]
        if not layers:
            raise ContractError(
                f"expected activations that are modules (nn.ReLU and its kin) for {KIND}, got none in "
                f"{type(network).__name__}; name a layer: layer=NAME"
            )
        changed = module
        for layer in layers:
            pruning = Pruning(self.share)
            pruning.training = in_training(layer)
            changed = replaced(changed, layer, Followed(layer, pruning))
        return ActivationsPruned(module, self.card, changed)
