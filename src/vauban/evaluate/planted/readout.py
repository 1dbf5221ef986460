"""Read-out points of a network: the linear layers from which its logits come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vauban.core.errors import ContractError
from vauban.core.rng import seeded
from vauban.core.surgery import submodule
from vauban.engine.network import predict, quiet

Layout = Literal["cat", "interleaved"]
"""Order of several rows of one image at a read-out: all images once and again, or all rows of an image together."""


class NotApplicable(Exception):  # noqa: N818 - an answer rather than a mistake
    """The test cannot be made on a network; the message says why."""


@dataclass(frozen=True)
class ReadOutPoint:
    """A layer whose input are the features of an image, and whose output has a column for each class.

    Attributes:
        layer: The layer.
        rows: How many rows of the layer's input an image has.
        layout: The order of these rows.
    """

    layer: nn.Module
    rows: int
    layout: Layout

    def of_rows(self, values: Tensor) -> Tensor:
        """One value per image `(batch, ...)` for each row of the layer's input."""
        if self.rows == 1:
            return values
        times = (self.rows, *(1,) * (values.dim() - 1))
        return values.repeat(times) if self.layout == "cat" else values.repeat_interleave(self.rows, 0)

    def of_images(self, values: Tensor) -> Tensor:
        """Mean over the rows of each image, of `(batch x rows, ...)` values."""
        shape = values.shape[1:]
        if self.layout == "cat":
            return values.view(self.rows, -1, *shape).mean(0)
        return values.view(-1, self.rows, *shape).mean(1)


def pooled(values: Tensor, layer: nn.Module) -> Tensor:
    """Mean over positions of what goes into or comes out of a layer, `(rows, features)`."""
    if isinstance(layer, nn.Conv2d):
        return values.flatten(2).mean(2)
    return values if values.dim() == 2 else values.flatten(1, -2).mean(1)


def in_positions(columns: Tensor, output: Tensor, layer: nn.Module) -> Tensor:
    """Columns `(rows, classes)` or `(classes,)` at every position of a layer's output, in its shape."""
    columns = columns.expand(len(output), -1)
    if isinstance(layer, nn.Conv2d):
        return columns[:, :, None, None].expand_as(output)
    return columns.view(len(output), *(1,) * (output.dim() - 2), -1).expand_as(output)


def is_linear(layer: nn.Module) -> bool:
    """Whether a layer is linear in the features of each position: nn.Linear, or a 1x1 convolution."""
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1))


def read_out_points(
    network: nn.Module, x: Tensor, classes: int, named: str | None, half: torch.dtype | None, seed: int
) -> list[ReadOutPoint]:
    """The last linear layers called whose output has a column for each class: one for each member of an ensemble.

    A layer whose output reaches another one of them is not the last.

    Args:
        network: The network.
        x: Two different images, `(2, ...)`.
        classes: Number of classes.
        named: Dotted name of the only layer to take; None: they are looked for.
        half: As for `engine.network.predict`.
        seed: Of a random network.

    Raises:
        ContractError: A name of no submodule, or of one that is not called or has another output.
        NotApplicable: There is no such layer, or its rows cannot be told apart.
    """
    ask = _Questions(network, classes, half, seed)
    if named is not None:
        layers = [submodule(network, named, "readout")]
    else:
        layers = [part for part in network.modules() if is_linear(part)]
    calls = ask.calls(x, layers)
    if named is not None and not calls:
        raise ContractError(
            f"expected readout to name a layer that is called with features (batch, features) and gives {classes} columns, "
            f"got {named!r}, which does not"
        )
    order = list(dict.fromkeys(layer for layer, _ in calls))
    if not order:
        raise NotApplicable(f"no linear layer with {classes} outputs is called; name the read-out point")
    ends = [layer for i, layer in enumerate(order) if not ask.reaches(x, layer, order[i + 1 :])]
    return [ask.point(x, layer) for layer in ends]


@dataclass(frozen=True)
class _Questions:
    """Calls of a network with hooks on some of its layers."""

    network: nn.Module
    classes: int
    half: torch.dtype | None
    seed: int

    def calls(
        self, x: Tensor, layers: Sequence[nn.Module], moved: nn.Module | None = None, by: float = 0.0
    ) -> list[tuple[nn.Module, Tensor]]:
        """The layers in the order of their calls, each with its input.

        Args:
            x: Images.
            layers: Those looked at; a call whose output lacks the columns is left out.
            moved: A layer whose output is moved.
            by: How far, another amount in each column, in units of its largest component.
        """
        calls = []

        def note(layer: nn.Module, args: tuple[Any, ...], output: Any) -> Tensor | None:
            if len(args) != 1 or not all(isinstance(part, Tensor) and part.dim() >= 2 for part in (args[0], output)):
                return None
            if output.shape[1 if isinstance(layer, nn.Conv2d) else -1] != self.classes:
                return None
            calls.append((layer, args[0].detach().clone()))  # what comes later may work in place
            if layer is not moved:
                return None
            ramp = torch.linspace(-1, 1, self.classes, dtype=output.dtype, device=output.device)
            moving: Tensor = in_positions(ramp, output, layer)  # no random number is drawn for it
            moved_output: Tensor = output + by * output.abs().amax() * moving
            return moved_output

        with hooks(layers, note), quiet(list(self.network.modules())), seeded(self.seed, "probe", device=x.device):
            predict(self.network, x, self.half)
        return calls

    def reaches(self, x: Tensor, layer: nn.Module, later: Sequence[nn.Module]) -> bool:
        """Whether the output of a layer has an influence on the input of one of the later ones."""
        if not later:
            return False
        before = self.calls(x, [layer, *later])
        for by in (-2.0, 2.0):  # a step in between may hide one of them
            after = self.calls(x, [layer, *later], layer, by)
            pairs = [(a, b) for (part, a), (_, b) in zip(before, after, strict=False) if part is not layer]
            if any(a.shape != b.shape or not torch.allclose(a, b, equal_nan=True) for a, b in pairs):
                return True
        return False

    def point(self, x: Tensor, layer: nn.Module) -> ReadOutPoint:
        """The layer with the rows that an image has in its input."""
        both = self.calls(x, [layer])[0][1]
        rows, rest = divmod(len(both), len(x))
        if rows == 1 and not rest:
            return ReadOutPoint(layer, 1, "cat")
        first = self.calls(x[:1], [layer])[0][1]
        if not rest and len(first) == rows:
            if _same(both[:: len(x)], first):
                return ReadOutPoint(layer, rows, "cat")
            if _same(both[:rows], first):
                return ReadOutPoint(layer, rows, "interleaved")
        raise NotApplicable(f"the read-out layer sees {len(both)} rows for {len(x)} images; their order is not known")


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-3, atol=1e-4)


@contextmanager
def hooks(layers: Sequence[nn.Module], hook: Callable[..., Any]) -> Iterator[None]:
    """A forward hook on some layers while open."""
    handles = [layer.register_forward_hook(hook) for layer in dict.fromkeys(layers)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
