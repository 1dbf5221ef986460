"""Outputs of a network that are no logits, named with the way to logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def refusal(output: Any, batch: int | str) -> str:
    """One line on what a network returned in place of logits `(batch, classes)`, and what makes logits of it.

    Args:
        output: What it returned.
        batch: Number of images it was given, or a word for it.
    """
    if not isinstance(output, Tensor):
        return f"expected the model to return logits ({batch}, classes >= 2), got {kind(output)}; {_where(output)}"
    got = f"{output.dtype} {tuple(output.shape)}"
    return f"expected the model to return float logits ({batch}, classes >= 2), got {got}{_way(output, batch)}"


def kind(output: Any) -> str:
    """The type of an output with its size or its keys."""
    if isinstance(output, Mapping):
        return f"a {type(output).__name__} with the keys {', '.join(map(repr, list(output)[:6])) or 'none'}"
    if isinstance(output, (tuple, list)):
        return f"a {type(output).__name__} of {len(output)}"
    return type(output).__name__


def _where(output: Any) -> str:
    at = (
        0
        if isinstance(output, (tuple, list))
        else next(iter(output), "name")
        if isinstance(output, Mapping)
        else "name"
    )
    return (
        f"say where they are by logits=name, position or function: vb.models.wrap(net, logits={at!r}), as a word "
        f"wrap:module=[MODEL],logits={at}"
    )


def _way(output: Tensor, batch: int | str) -> str:
    """What makes logits of a tensor, behind a comma or semicolon; "" where nothing is known."""
    shape = tuple(output.shape)
    if shape[:1] != (batch,):
        return "; the first axis is the batch: one row for each image"
    if not output.is_floating_point():
        if shape == (batch,):
            return (
                ", a label for each image; return logits, or attack it by its labels: "
                "vb.models.black_box(fn, labels_only=True, classes=..., takes='torch')"
            )
        return "; return the scores before rounding"
    if shape in ((batch,), (batch, 1)):
        return (
            ", one logit for each image; vb.models.wrap(net, binary=True) makes two classes of it, as a word "
            "wrap:module=[MODEL],binary=true"
        )
    if len(shape) > 2 and shape[1] > 1 and all(side == 1 for side in shape[2:]):
        return "; vb.models.wrap(net, logits=lambda z: z.flatten(1)) drops the last axes"
    if len(shape) > 2:
        return (
            "; of a map of scores vb.models.wrap(net, logits=lambda z: z.flatten(2).mean(2)) makes one for each class"
        )
    return ""
