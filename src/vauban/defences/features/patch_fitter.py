"""Fitting of codebooks for patch replacement: product quantisation by k-means (thesis of H. Zhang, section 6.3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, plural
from vauban.core.parameters import Count, Range, Whole
from vauban.core.surgery import watched
from vauban.defences import fitters
from vauban.defences.base import check_odd
from vauban.defences.features.codebook import IMAGE, KIND, Codebook
from vauban.defences.features.k_means import k_means
from vauban.defences.features.layers import layer_of
from vauban.defences.features.patch_sample import PatchSample
from vauban.defences.features.patches import Patches, PatchSize
from vauban.defences.features.windows import Windows
from vauban.defences.fitter import DefenceFit, DefenceFitter, Passed
from vauban.engine.network import quiet

Portion = Annotated[float, Range(0, 1, open_low=True)]
"""A share above 0."""


@fitters.register(KIND)
@dataclass(frozen=True)
class FitPatches(DefenceFitter):
    """Codewords of every slice of a layer: k-means on patches of clean images, one codebook for each slice.

    A sample of places is drawn from the stream of images and held, all channels of it; nothing else grows.

    Attributes:
        layer: The layer's name in the network, as in `named_modules()`, or "image", for which no network is asked.
        size: Side of a patch in pixels, 2a + 1.
        depth: Channels of a slice, d; it divides those of the layer.
        codewords: K of each slice.
        share: In the place of `codewords`, K as a share of the places sampled: 1 makes every patch a codeword.
        sample: Places sampled at most.
        iterations: Of k-means at most.
        universal: Whether one codebook is learned for all slices together, from the same places.

    Raises:
        ContractError: A value outside its range, an even size, more codewords than places; when fitted, a layer that does
            not exist, a depth that does not divide its channels, maps smaller than a patch, fewer places than codewords.

    Departures: the size of the sample is not printed; the numbers of codewords are round shares of 785 568 places.
    """

    layer: str | Whole = IMAGE
    size: PatchSize = 3
    depth: Count = 1
    codewords: Count = 256
    share: Portion | None = None
    sample: Count = 100_000
    iterations: Whole = 20
    universal: bool = False
    kind: ClassVar[str] = KIND

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "layer", str(self.layer))  # a name may be a number: that of a part of a Sequential
        check_odd("size", self.size, "a patch has a centre pixel")
        if self.share is None and self.codewords > self.sample:
            raise ContractError(
                f"expected at most as many codewords as the sample of {self.sample}, got {self.codewords}"
            )

    @property
    def reads_network(self) -> bool:
        return self.layer != IMAGE

    def fit(
        self, module: nn.Module | None, batches: Iterable[Batch], *, seed: int = 0, callback: Passed | None = None
    ) -> DefenceFit[Patches]:
        layer = layer_of(module, str(self.layer)) if module is not None and self.layer != IMAGE else None
        drawn, images = PatchSample(self.size, self.sample, seed), 0
        shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None
        for batch in batches:
            feature = batch.x if module is None or layer is None else output_of(module, layer, batch.x)
            images += len(batch.x)
            seen = (tuple(batch.x.shape[1:]), tuple(feature.shape[1:]))
            shapes = seen if shapes is None else shapes
            self._check(feature, seen, shapes)
            drawn.add(feature.float(), batch)
            if callback is not None:
                callback(images)
        if shapes is None or drawn.patches is None:
            raise ContractError("expected at least one batch of images to learn codewords from, got none")
        books, distance = self._books(drawn.patches, drawn.places)
        book = Codebook(books.cpu(), str(self.layer), self.size, self.depth, *shapes)
        reached = {"mean squared distance of a patch": distance, "places": float(len(drawn.patches))}
        return DefenceFit(Patches(book=book), reached, images, images if layer is not None else 0)

    def save(self, fitted: DefenceFit[Patches], path: Path, meta: Mapping[str, Any]) -> None:
        """Write the codebook, what learning it has cost, and `meta`."""
        book = fitted.defence.book
        assert book is not None
        book.save(path, {**meta, "codewords": book.codewords.shape[1], "universal": self.universal, "fit": fitted.cost})

    def load(self, path: Path) -> Patches:
        """The defence that a file holds, with its plain strategy."""
        return Patches(file=path)

    def _check(self, feature: Tensor, seen: object, first: object) -> None:
        if feature.dim() != 4 or not feature.is_floating_point():
            raise ContractError(
                f"expected maps (batch, channels, height, width) from layer {self.layer!r}, got {tuple(feature.shape)}"
            )
        if seen != first:
            raise ContractError(f"expected images of one shape to learn codewords from, got {first} and {seen}")
        windows = Windows(self.size, self.size, self.depth, (1, 1))
        windows.check(tuple(feature.shape), repr(self.layer))

    def _books(self, patches: Tensor, places: int) -> tuple[Tensor, float]:
        """Codewords `(m or 1, K, width)`, and the mean squared distance of a sampled patch to the nearest."""
        slices = patches.reshape(len(patches), -1, self.depth * self.size**2).transpose(0, 1)
        parts = slices.transpose(0, 1).reshape(1, -1, slices.shape[2]) if self.universal else slices
        count = self.codewords if self.share is None else max(1, round(self.share * len(patches)))
        if count > parts.shape[1]:
            raise ContractError(
                f"expected at most {parts.shape[1]} codewords, the patches sampled from {plural(places, 'place')}, got "
                f"{count}; fit on more images"
            )
        learned = [k_means(part.contiguous(), count, self.iterations) for part in parts]
        return torch.stack([codewords for codewords, _ in learned]), sum(far for _, far in learned) / len(learned)


def output_of(module: nn.Module, layer: nn.Module, x: Tensor) -> Tensor:
    """The output of a layer for images, without gradients, every module in evaluation mode as it is.

    Raises:
        ContractError: The network does not use the layer, or the layer gives no tensor.
    """
    with watched((layer, "output")) as (seen,), torch.no_grad(), quiet(list(module.modules())):
        module(x)
    if not seen or not isinstance(seen[-1], Tensor):
        got = "none" if not seen else type(seen[-1]).__name__
        raise ContractError(f"expected a tensor from the layer when the network answers, got {got}; name another layer")
    feature: Tensor = seen[-1]
    return feature
