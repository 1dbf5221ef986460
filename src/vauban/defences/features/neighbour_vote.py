"""Votes of the nearest training images in a layer's features, and what BPDA differentiates in their place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.arguments import NamedArguments
from vauban.core.cards import Card, Defended, in_training
from vauban.core.contracts import check_labels
from vauban.core.errors import ContractError
from vauban.defences.detectors.layer_features import place_of, rows, with_features
from vauban.defences.features.nearest import several_nearest

TIE = 1e-3  # of a vote: what decides between classes of equal votes
ABSENT = -1e4  # the logarithm of no soft vote


@dataclass(frozen=True, eq=False)
class LabelledFeatures(NamedArguments):
    """Features of training images and their labels.

    Attributes:
        features: `(n, d)`.
        labels: `(n,)`.
        classes: Of the network.
        layer: Name of the layer that gave them.

    Raises:
        ContractError: No features, features that are not finite, or labels that do not fit.
    """

    features: Tensor
    labels: Tensor
    classes: int
    layer: str

    def __post_init__(self) -> None:
        shape = tuple(self.features.shape)
        if len(shape) != 2 or not shape[0] or not bool(self.features.isfinite().all()):
            raise ContractError(f"expected finite features (n, d) of at least one image, got shape {shape}")
        check_labels(self.labels, shape[0], self.classes)


class NeighbourVote(nn.Module):
    """log(1 + n_c), n_c how many of the k nearest features of the gallery have class c; of equal votes the nearest wins.

    Distances and votes are of float64: in half precision squares overflow, and autocast would round float32. Where rounding
    to the type of the features leaves the winner no larger than another class, its logit is a step or two of that type
    above.

    Attributes:
        gallery: The features.
        k: Neighbours that vote.
    """

    features: Tensor
    labels: Tensor

    def __init__(self, gallery: LabelledFeatures, k: int) -> None:
        super().__init__()
        self.classes, self.k = gallery.classes, min(k, len(gallery.labels))
        self.register_buffer("features", gallery.features.float(), persistent=False)
        self.register_buffer("labels", gallery.labels, persistent=False)

    def forward(self, h: Tensor) -> Tensor:
        wide, held = h.detach().double(), self.features.double()
        near = several_nearest(wide, held, self.k).sort(1).values  # of equally near ones the first
        apart = (wide[:, None] - held[near]).square().sum(2)
        order = torch.arange(self.k, 0, -1, device=h.device, dtype=torch.float64) / self.k
        ranked = F.one_hot(self.labels[near.gather(1, apart.sort(dim=1, stable=True).indices)], self.classes).double()
        first = (ranked * order[:, None]).amax(1)
        logits = torch.log1p(ranked.sum(1) + TIE * first)
        # Zero: it keeps a feature's NaN visible, and has a gradient, zero too. No sum of features, which may overflow.
        return _rounded(logits, h.dtype) + (0 * h).sum(1, keepdim=True)


def _rounded(logits: Tensor, dtype: torch.dtype) -> Tensor:
    """Logits of float64 in another type, in which the largest is still larger than every other one."""
    winner = logits.argmax(1, keepdim=True)
    near = logits.to(dtype).double()
    others = near.scatter(1, winner, 0.0).amax(1, keepdim=True)
    above = others * (1 + torch.finfo(dtype).eps)  # rounds to one or two steps above; 0 only where no other has a vote
    return near.scatter(1, winner, near.gather(1, winner).maximum(above)).to(dtype)


class SoftNeighbours:
    """log sum_i [y_i = c] exp(-||h - h_i||^2 / s^2), s the distance to the k-th nearest: the vote with a slope.

    After the soft nearest neighbours of Sitawarin and Wagner 2019 (arXiv:1903.08333), whose weights are a sigmoid of the
    distance.

    Attributes:
        vote: What it stands for; None on the card of a defence that wraps no network.
    """

    def __init__(self, vote: NeighbourVote | None) -> None:
        self.vote = vote

    def __call__(self, h: Tensor) -> Tensor:
        if self.vote is None:
            raise ContractError("expected the card of a network behind neighbours, got that of the defence alone")
        wide = h.to(torch.promote_types(h.dtype, torch.float32))  # squares overflow in half precision
        held, labels = self.vote.features.to(wide), self.vote.labels
        squared = (wide.square().sum(1, keepdim=True) - 2 * wide @ held.T + held.square().sum(1)).clamp_min(0)
        scale = squared.detach().topk(self.vote.k, 1, largest=False).values.amax(1, keepdim=True)
        kernel = -squared / scale.clamp_min(torch.finfo(wide.dtype).tiny)
        own = labels.expand(len(h), -1)
        nearest = (
            kernel.detach()
            .new_full((len(h), self.vote.classes), ABSENT)
            .scatter_reduce(1, own, kernel.detach(), "amax")
        )
        summed = torch.zeros_like(nearest).index_add(1, labels, (kernel - nearest.gather(1, own)).exp())
        return (nearest + summed.clamp_min(torch.finfo(wide.dtype).tiny).log()).to(h.dtype)


class NeighbourDefended(Defended):
    """A network whose answer is the vote of its features' nearest neighbours; its own logits are left out.

    Attributes:
        gallery: The features that vote.
        vote: The vote as a module, which the card names.
    """

    def __init__(self, inner: nn.Module, card: Card, gallery: LabelledFeatures, vote: NeighbourVote) -> None:
        super().__init__(inner, card)
        self.gallery, self.vote = gallery, vote
        self.training = self.vote.training = in_training(inner)
        place_of(inner, gallery.layer)

    def forward(self, x: Tensor) -> Tensor:
        logits, (feature,) = with_features(self.inner, (self.gallery.layer,), x)
        h, held = rows(feature, self.gallery.layer).to(logits.dtype), self.gallery.features.shape[1]
        if h.shape[1] != held or logits.shape[1] != self.gallery.classes:
            raise ContractError(
                f"expected {held} features of layer {self.gallery.layer!r} and {self.gallery.classes} classes, which "
                f"neighbours were fitted on, got {h.shape[1]} and {logits.shape[1]}; fit them on this network"
            )
        voted: Tensor = self.vote(h)
        return voted
