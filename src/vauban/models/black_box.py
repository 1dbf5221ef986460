"""Black boxes: any callable (an HTTP endpoint, ONNX, a PIL pipeline) as a model that cannot be differentiated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from vauban.core.arguments import named_arguments
from vauban.core.contracts import check_labels, check_logits
from vauban.core.errors import AccessError, ContractError
from vauban.core.precision import working_type


class _Answer(torch.autograd.Function):
    """Identity on the answer in the forward pass; AccessError where the gradient would start."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, answer: Tensor, name: str) -> Tensor:
        ctx.name = name
        return answer.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise AccessError(
            f"the oracle {ctx.name!r} answers queries but has no gradients; use a scores-only or labels-only threat, "
            "or attack a differentiable stand-in (transfer)"
        )


class BlackBox(nn.Module):
    """logits(x) = fn(x) for an opaque fn; see `black_box` for the arguments.

    Attributes:
        name: The callable's name, for messages.
        grants: What its answers reveal, {'scores', 'labels'} or {'labels'}.
    """

    @named_arguments
    def __init__(
        self,
        fn: Callable[[Any], Any],
        labels_only: bool = False,
        classes: int | None = None,
        takes: Literal["numpy", "torch"] = "numpy",
    ) -> None:
        super().__init__()
        if not callable(fn):
            raise ContractError(
                f"expected a callable from a batch of images to scores or labels, got {type(fn).__name__}"
            )
        if takes not in ("numpy", "torch"):
            raise ContractError(f"expected takes 'numpy' or 'torch', got {takes!r}")
        self.fn, self.labels_only, self.classes, self.takes = fn, labels_only, classes, takes
        self.name = getattr(fn, "__name__", type(fn).__name__)
        self.grants = frozenset({"labels"} if labels_only else {"scores", "labels"})

    def forward(self, x: Tensor) -> Tensor:
        images = x.detach().to(working_type(x.dtype))  # numpy has no bfloat16
        answer = self.fn(images.cpu().numpy() if self.takes == "numpy" else images)
        logits = self._logits(_tensor(answer, self.name).to(x.device), len(x)).to(images.dtype)
        if torch.is_grad_enabled() and x.requires_grad:
            return _Answer.apply(x, logits, self.name)  # type: ignore[no-any-return]
        return logits

    def _logits(self, answer: Tensor, batch: int) -> Tensor:
        """Logits `(batch, classes)` of an answer: its scores, or one-hot rows. Raises ContractError for another answer."""
        if answer.dim() == 1:
            if not self.labels_only:
                raise ContractError(
                    f"expected scores ({batch}, classes) from the oracle {self.name!r}, got {tuple(answer.shape)}; "
                    "if these are labels, say labels_only=True"
                )
            if self.classes is None:
                raise ContractError(
                    f"the oracle {self.name!r} returns labels; say how many classes there are: classes=..."
                )
            if answer.is_floating_point() or answer.dtype == torch.bool:
                raise ContractError(f"expected integer labels from the oracle {self.name!r}, got {answer.dtype}")
            labels = check_labels(answer.long(), batch, self.classes)
            return torch.nn.functional.one_hot(labels, self.classes).float()
        scores = check_logits(answer if answer.is_floating_point() else answer.float(), batch)
        if self.classes is not None and scores.shape[1] != self.classes:
            raise ContractError(
                f"expected {self.classes} scores per image from the oracle {self.name!r}, got {scores.shape[1]}"
            )
        if not bool(torch.isfinite(scores).all()):
            raise ContractError(f"expected finite scores from the oracle {self.name!r}, got NaN or infinity")
        if self.labels_only:
            return torch.nn.functional.one_hot(scores.argmax(1), scores.shape[1]).float()
        return scores


def _tensor(answer: Any, name: str) -> Tensor:
    """An answer as a tensor. Raises ContractError where it is no array."""
    if isinstance(answer, Tensor):
        return answer.detach()
    try:
        return torch.from_numpy(np.array(answer))
    except (TypeError, ValueError) as error:
        raise ContractError(
            f"expected an array of scores or labels from the oracle {name!r}, got {type(answer).__name__}: {error}"
        ) from error


@named_arguments
def black_box(
    fn: Callable[[Any], Any],
    labels_only: bool = False,
    classes: int | None = None,
    takes: Literal["numpy", "torch"] = "numpy",
) -> BlackBox:
    """A model from any callable.

    Asking it for gradients raises AccessError; answers of the wrong shape raise ContractError.

    Args:
        fn: Takes images, float32 `(batch, channel, height, width)` in [0,1], and returns scores `(batch, classes)` or
            labels `(batch,)`.
        labels_only: Reveal nothing but the label, as a one-hot logit row.
        classes: Number of classes; needed where fn returns labels.
        takes: Whether fn takes a numpy array or a tensor ("torch").

    Raises:
        ContractError: fn cannot be called, or `takes` is something else.

    Example:
        >>> model = black_box(lambda images: session.run(None, {"input": images})[0])
    """
    return BlackBox(fn, labels_only, classes, takes)
