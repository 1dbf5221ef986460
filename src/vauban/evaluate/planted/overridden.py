"""Network whose read-out is overridden for each of some images, on a copy, so that everything around it stays in force."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from vauban.core.cards import Backward
from vauban.core.norms import Norm
from vauban.core.rng import seeded
from vauban.core.surgery import hookable, replaced
from vauban.engine import BoundThreat
from vauban.engine.network import predict, quiet
from vauban.evaluate.planted.readout import ReadOutPoint, in_positions, pooled

CHUNK = 2**23
"""Components of the images that a network is asked for at once."""


@dataclass(frozen=True)
class Heads:
    """Read-outs in the place of a linear layer, one for each of n images.

    The column of the own class is constant, that of the wrong class is own + slope (w . (f - centre) - threshold) of the
    features f, every other one is the least of the layer's answers to the image itself.

    Attributes:
        weight: slope w, `(n, d)`.
        centre: `(n, d)`.
        offset: own - slope threshold, `(n,)`.
        columns: The constant columns, `(n, classes)`.
        wrong: The wrong class, int64 `(n,)`.
    """

    weight: Tensor
    centre: Tensor
    offset: Tensor
    columns: Tensor
    wrong: Tensor

    @staticmethod
    def together(heads: Sequence[Heads]) -> Heads:
        """Those of several images."""
        names = ("weight", "centre", "offset", "columns", "wrong")
        return Heads(*(torch.cat([getattr(head, name) for head in heads]) for name in names))

    def logits(self, features: Tensor, rows: Tensor) -> Tensor:
        """Columns `(m, classes)` for features `(m, d)` of the images `rows` `(m,)`."""
        score = ((features.to(self.weight.dtype) - self.centre[rows]) * self.weight[rows]).sum(1) + self.offset[rows]
        return self.columns[rows].scatter(1, self.wrong[rows, None], score[:, None])


class Overridden:
    """Copy of a network whose read-out layers can be read and overridden.

    The modules around these layers are copied, everything else is shared: cards, backward rules and post-processing act
    on the copy as on the network. Which image a row of a call is about is found by the nearest original.

    Attributes:
        network: The copy.
        points: Its read-out points.
        calls: Images that it was asked for by `answers` and `features`.
    """

    def __init__(self, network: nn.Module, points: Sequence[ReadOutPoint], half: torch.dtype | None) -> None:
        self._replaced = [point.layer for point in points]
        self.network, layers = hookable(network, self._replaced)
        self.points = [
            ReadOutPoint(layer, point.rows, point.layout) for layer, point in zip(layers, points, strict=True)
        ]
        self.half, self.calls = half, 0
        self._heads: list[Heads] | None = None
        self._originals: tuple[Tensor, Norm] | None = None
        self._rows: Tensor | None = None
        self._depth = 0
        self._read: list[list[tuple[Tensor, Tensor]]] | None = None
        for i, point in enumerate(self.points):
            point.layer.register_forward_hook(self._hook(i, point))

    def bound(self, threat: BoundThreat) -> BoundThreat | None:
        """The threat to the network as the threat to the copy; None where one of its networks has no such layer.

        Each network of the threat gets the overridden layers in the place of its own, and a backward rule for a module
        counts for the copies of it.
        """
        copies: dict[nn.Module, nn.Module] = {threat.target: self.network}
        for network, _ in threat.networks:
            copies.setdefault(network, self._with_layers(network))
        if any(copy is network for network, copy in copies.items()):
            return None
        rules: dict[nn.Module, Backward] = {}
        for network, copy in copies.items():
            pairs = zip(network.modules(), copy.modules(), strict=True)
            rules |= {theirs: threat.backward[mine] for mine, theirs in pairs if mine in threat.backward}
        self._note_rows(list(copies.values()))
        sources = tuple((copies[network], weight) for network, weight in threat.sources)
        return replace(threat, target=self.network, sources=sources, backward=rules, compiled=False)

    def _with_layers(self, network: nn.Module) -> nn.Module:
        for mine, point in zip(self._replaced, self.points, strict=True):
            network = replaced(network, mine, point.layer)
        return network

    def _note_rows(self, networks: Sequence[nn.Module]) -> None:
        """Find the image of each row whenever one of these networks, which hold overridden layers, is called."""

        def enter(network: nn.Module, args: tuple[Any, ...]) -> None:
            self._depth += 1
            if self._depth == 1 and self._originals is not None:
                originals, norm = self._originals
                self._rows = torch.cdist(args[0].detach().flatten(1).float(), originals, p=norm.p).argmin(1)

        def leave(network: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            self._depth -= 1
            if self._depth == 0 and self._originals is not None:
                self._rows = None

        for network in dict.fromkeys(networks):
            network.register_forward_pre_hook(enter)
            network.register_forward_hook(leave, always_call=True)

    def override(
        self, heads: Sequence[Heads] | None, originals: Tensor | None = None, norm: Norm | None = None
    ) -> None:
        """Put read-outs in force, one for each point; None: the layers' own.

        Args:
            heads: Those of each point, for the same n images.
            originals: The images `(n, ...)`.
            norm: In which a row belongs to the nearest original.
        """
        self._heads = None if heads is None else list(heads)
        self._originals = None if originals is None or norm is None else (originals.flatten(1).float(), norm)

    @torch.no_grad()
    def answers(self, x: Tensor, rows: Tensor, seed: tuple[int | str, ...]) -> Tensor:
        """Logits `(m, columns)` of the overridden network for images `(m, ...)` about the originals `rows` `(m,)`."""
        parts = []
        for k, (images, about) in enumerate(zip(self._chunks(x), self._chunks(rows, x), strict=True)):
            self._rows = about
            try:
                with self._asked(x, (*seed, k)):
                    parts.append(predict(self.network, images, self.half))
            finally:
                self._rows = None
        self.calls += len(x)
        return torch.cat(parts)

    @torch.no_grad()
    def features(self, x: Tensor, seed: tuple[int | str, ...]) -> tuple[list[Tensor], list[Tensor]]:
        """What goes into and comes out of each read-out layer, `(m, d)` and `(m, classes)`: means over calls and places."""
        parts: list[tuple[list[Tensor], list[Tensor]]] = []
        for k, images in enumerate(self._chunks(x)):
            self._read = [[] for _ in self.points]
            try:
                with self._asked(x, (*seed, k)):
                    predict(self.network, images, self.half)
                calls = [[torch.stack(values).mean(0) for values in zip(*read, strict=True)] for read in self._read]
            finally:
                self._read = None
            parts.append(([given for given, _ in calls], [answer for _, answer in calls]))
        self.calls += len(x)
        inputs, outputs = (
            [torch.cat(values) for values in zip(*side, strict=True)] for side in zip(*parts, strict=True)
        )
        return inputs, outputs

    @contextmanager
    def _asked(self, x: Tensor, seed: tuple[int | str, ...]) -> Iterator[None]:
        with quiet(list(self.network.modules())), seeded(*seed, device=x.device):
            yield

    def _chunks(self, values: Tensor, x: Tensor | None = None) -> tuple[Tensor, ...]:
        sample = values[0] if x is None else x[0]
        return torch.split(values, min(512, max(8, CHUNK // sample.numel())))

    def _hook(self, i: int, point: ReadOutPoint) -> Any:
        """The hook of a layer: a function, which a deep copy of the network shares."""

        def hook(layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
            features = pooled(args[0], layer)
            if self._read is not None:
                # Clones: what comes later may work in place.
                answers = point.of_images(pooled(output, layer).float()).clone()
                self._read[i].append((point.of_images(features.float()).clone(), answers))
            if self._heads is None:
                return None
            heads = self._heads[i]
            images = len(features) // point.rows
            rows = features.new_zeros(images, dtype=torch.int64) if self._rows is None else self._rows
            logits = heads.logits(features, point.of_rows(rows))
            return in_positions(logits.to(output.dtype), output, layer)

        return hook
