"""Black boxes: any callable (an HTTP endpoint, ONNX, a PIL pipeline) as a model that cannot be differentiated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from vauban.core.arguments import named_arguments
from vauban.core.errors import AccessError, ContractError
from vauban.core.precision import working_type
from vauban.models.answers import Answers, Kind
from vauban.models.meter import Meter


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
    """logits(x) = what fn(x) tells, for an opaque fn; see `black_box` for the arguments.

    Attributes:
        fn: The callable.
        answers: What it tells.
        meter: Counts the images that are sent; that of fn where it has one.
        drifts: Whether the same image may get another answer some day, as of a service.
    """

    @named_arguments
    def __init__(
        self,
        fn: Callable[[Any], Any],
        answers: Answers | None = None,
        takes: Literal["numpy", "torch"] = "numpy",
        drifts: bool = False,
    ) -> None:
        super().__init__()
        if not callable(fn):
            raise ContractError(
                f"expected a callable from a batch of images to scores or labels, got {type(fn).__name__}"
            )
        if takes not in ("numpy", "torch"):
            raise ContractError(f"expected takes 'numpy' or 'torch', got {takes!r}")
        self.fn, self.answers, self.takes, self.drifts = fn, answers or Answers(), takes, drifts
        own = getattr(fn, "meter", None)
        self.meter = own if isinstance(own, Meter) else Meter()

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(getattr(self.fn, "name", getattr(self.fn, "__name__", type(self.fn).__name__)))

    @property
    def grants(self) -> frozenset[str]:
        """What its answers reveal, {'scores', 'labels'} or {'labels'}."""
        return self.answers.grants

    @property
    def hides_scores(self) -> bool:
        """Whether it tells the largest scores alone."""
        return self.answers.top is not None

    def forward(self, x: Tensor) -> Tensor:
        images = x.detach().to(working_type(x.dtype))  # numpy has no bfloat16
        if not isinstance(getattr(self.fn, "meter", None), Meter):
            self.meter.spend(len(x))
        answer = self.fn(images.cpu().numpy() if self.takes == "numpy" else images)
        logits = self.answers.logits(_tensor(answer, self.name).to(x.device), len(x), self.name).to(images.dtype)
        self.meter.check_classes(logits.shape[1], self.name)
        if torch.is_grad_enabled() and x.requires_grad:
            return _Answer.apply(x, logits, self.name)  # type: ignore[no-any-return]
        return logits


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
    probabilities: bool = False,
    top: int | None = None,
    digits: int | None = None,
) -> BlackBox:
    """A model from any callable.

    Asking it for gradients raises AccessError; answers of the wrong shape raise ContractError. It tells no more than is
    declared here, whatever fn returns.

    Args:
        fn: Takes images, float32 `(batch, channel, height, width)` in [0,1], and returns scores `(batch, classes)` or
            labels `(batch,)`.
        labels_only: Reveal nothing but the label, as a one-hot logit row.
        classes: Number of classes; needed where fn returns labels.
        takes: Whether fn takes a numpy array or a tensor ("torch").
        probabilities: Its scores are probabilities; logits are their logarithms.
        top: Reveal this many of the largest scores; None: all.
        digits: Round scores to this many decimals; None: not at all.

    Raises:
        ContractError: fn cannot be called, a value is out of its range, or values do not go together.

    Example:
        >>> model = black_box(lambda images: session.run(None, {"input": images})[0])
    """
    kind: Kind = "labels" if labels_only else "probabilities" if probabilities else "scores"
    return BlackBox(fn, Answers(kind, classes, top, digits), takes)
