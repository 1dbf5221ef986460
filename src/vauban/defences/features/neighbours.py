"""Labels by the nearest training images in feature space, in the place of a network's own answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vauban.core.cards import Card
from vauban.core.contracts import Batch, check_labels
from vauban.core.errors import ContractError
from vauban.core.parameters import Count, Parameters
from vauban.core.rng import seeded
from vauban.defences import fitters, registry
from vauban.defences.base import check_module
from vauban.defences.detectors.base import check_accepting
from vauban.defences.detectors.layer_features import PENULTIMATE, LayerName, place_of, rows, with_features
from vauban.defences.features.neighbour_vote import LabelledFeatures, NeighbourDefended, NeighbourVote, SoftNeighbours
from vauban.defences.fitter import DefenceFit, DefenceFitter, Passed
from vauban.engine.network import quiet
from vauban.models import weights as files

KIND = "neighbours"


@registry.register(
    KIND, random=False, differentiable=False, words={"file": "file"}, example="file=neighbours.safetensors"
)
@dataclass(frozen=True, eq=False)
class Neighbours(Parameters):
    """The class that most of the k nearest training images have, by the distance of a layer's features.

    Classification by the neighbours of a query in a store of labelled images (Dubey et al. 2019, arXiv:1903.01612, on
    images of the web; Papernot and McDaniel 2018, arXiv:1803.04765, on the training set). The answers are log(1 + votes);
    of classes with equal votes the one of the nearest image wins. BPDA differentiates a soft vote.

    Attributes:
        file: What `vauban fit --fitter neighbours` wrote.
        k: Neighbours that vote.
        gallery: Features and labels, in the place of a file.

    Raises:
        ContractError: Neither or both of file and gallery; when wrapped, a file that holds none, no such layer, or a
            network that rejects already; when run, features or classes of another number.

    Departures: votes count alike, where the first paper weighs them by their confidence and averages their logits; one
    layer, where the second sums over all and gives a credibility.
    """

    file: str | Path | None = field(default=None, repr=False)
    k: Count = 5
    gallery: LabelledFeatures | None = field(default=None, repr=False, kw_only=True)
    registered: ClassVar[str] = KIND
    reference: ClassVar[str] = "Dubey, van der Maaten, Yalniz, Li, Mahajan 2019, arXiv:1903.01612"

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.file is None) == (self.gallery is None):
            raise ContractError(
                f"expected a file or a gallery for {KIND!r}, got {'both' if self.file else 'neither'}; fit one: "
                f"vauban fit --fitter {KIND} --model MODEL --data SET/train --out FILE"
            )

    @property
    def held(self) -> LabelledFeatures:
        """The features that vote, read when they are first needed."""
        return self._source[0]

    @cached_property
    def _source(self) -> tuple[LabelledFeatures, str]:
        """The features, and the fingerprint of the network that gave them; "" where it is not known."""
        if self.gallery is not None:
            return self.gallery, ""
        assert self.file is not None
        return read_gallery(Path(self.file).expanduser())

    @property
    def card(self) -> Card:
        """The facts of one object that wraps nothing."""
        return self._card(None)

    def _card(self, vote: NeighbourVote | None, fitted_to: str = "") -> Card:
        return Card(KIND, backward={"vote": SoftNeighbours(vote)}, reference=self.reference, fitted_to=fitted_to)

    @property
    def name(self) -> str:
        """Name on the command line; a gallery without a file is told by its size."""
        source = f"images={len(self.held.labels)}" if self.file is None else f"file={Path(self.file).name}"
        return f"{KIND}:{source},k={self.k}"

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module that answers by neighbours; weights are shared, modes are kept.

        Raises:
            ContractError: Something that is no torch module, a network that rejects already, since votes leave its
                rejection out, or one that has no such layer; the nearest is named.
        """
        check_accepting(check_module(module), KIND)
        held, fitted_to = self._source
        vote = NeighbourVote(held, self.k)
        return NeighbourDefended(module, self._card(vote, fitted_to), held, vote)


def read_gallery(path: Path) -> tuple[LabelledFeatures, str]:
    """The gallery of a file and the fingerprint of the network that it is of, "" where the file does not say.

    Raises:
        ContractError: The file, which is named, holds something else.
    """
    tensors, meta = files.read(path), files.metadata(path)
    if meta.get("defence") != KIND or set(tensors) != {"features", "labels"}:
        raise ContractError(
            f"{path} holds no features for {KIND}; fit them: vauban fit --fitter {KIND} --model MODEL --data SET/train "
            "--out FILE"
        )
    gallery = LabelledFeatures(tensors["features"], tensors["labels"], int(meta["classes"]), str(meta["layer"]))
    return gallery, (meta.get("model") or {}).get("fingerprint", "")


@fitters.register(KIND)
@dataclass(frozen=True)
class FitNeighbours(DefenceFitter):
    """Features of labelled images, the first of each class in the stream.

    Attributes:
        layer: Name, as in `named_modules()`; "penultimate" is the input of the last linear layer. Of maps the features are
            the means over height and width.
        most: Images of each class that are held.

    Raises:
        ContractError: When fitted, no network, one that rejects already, no such layer, or no images.
    """

    layer: LayerName = PENULTIMATE
    most: Count = 200
    kind: ClassVar[str] = KIND

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "layer", str(self.layer))  # a part of a Sequential may be a number

    def fit(
        self, module: nn.Module | None, batches: Iterable[Batch], *, seed: int = 0, callback: Passed | None = None
    ) -> DefenceFit[Neighbours]:
        if module is None:
            raise ContractError(f"expected a network for the features of {KIND!r}, got none; name one (--model)")
        check_accepting(module, KIND)
        layer, images, classes = str(self.layer), 0, 0
        place_of(module, layer)
        counts: Tensor | None = None
        features, labels = [], []
        for batch in batches:
            drawn = seeded(seed, "features", images, device=batch.x.device)
            with torch.no_grad(), quiet(list(module.modules())), drawn:
                logits, (feature,) = with_features(module, (layer,), batch.x)
            classes = logits.shape[1]
            check_labels(batch.y, len(batch), classes)
            hot = nn.functional.one_hot(batch.y, classes).cpu()
            counts = torch.zeros(classes, dtype=torch.int64) if counts is None else counts
            earlier = (counts + hot.cumsum(0) - hot).gather(1, batch.y.cpu()[:, None]).squeeze(1)
            kept = earlier < self.most
            counts = counts + hot.sum(0)
            features.append(rows(feature, layer).float().cpu()[kept])
            labels.append(batch.y.cpu()[kept])
            images += len(batch)
            if callback is not None:
                callback(images)
        if not images:
            raise ContractError(f"expected at least one batch of images to fit {KIND!r} on, got none")
        gallery = LabelledFeatures(torch.cat(features), torch.cat(labels), classes, layer)
        return DefenceFit(Neighbours(gallery=gallery), {"held": float(len(gallery.labels))}, images, images)

    def save(self, fitted: DefenceFit[Neighbours], path: Path, meta: Mapping[str, Any]) -> None:
        """Write features and labels, what the fit has cost, and `meta`."""
        gallery = fitted.defence.held
        tensors = {"features": gallery.features, "labels": gallery.labels}
        held = nn.ParameterDict({name: nn.Parameter(t, requires_grad=False) for name, t in tensors.items()})
        facts = {"layer": gallery.layer, "classes": gallery.classes, "fit": fitted.cost}
        files.save(held, path, {**meta, "format": 1, "defence": KIND, **facts})

    def load(self, path: Path) -> Neighbours:
        """The defence that a file holds."""
        return Neighbours(path)
