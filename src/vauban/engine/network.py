"""Calls of a network: the type it takes, evaluation mode, gradients with respect to inputs only.

A network is given a copy of the images, so that one that works in place changes nothing that anybody else holds. Where
torch sees that it does, it is refused; what torch does not see, such as `x.data` or a numpy view, writes into the copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.arithmetic import Precision, autocast, products
from vauban.core.cards import in_training
from vauban.core.contracts import check_logits
from vauban.core.errors import ContractError, NoGradient
from vauban.core.norms import Linf
from vauban.core.precision import HALF, working_type
from vauban.core.tensors import like

WeightedModule = tuple[nn.Module, float]
WAY_OUT = (
    "use threats.adaptive() where a defence's card prescribes a way, give the operation that blocks the gradient a "
    "backward rule (BPDA), or attack by scores or labels"
)
"""Advice for a network without a gradient."""
Answer = tuple[Tensor, list[Tensor], list[Tensor], Tensor]
"""Logits, loss values, image gradients, and the number of gradients of each image that had a component not finite."""


@contextmanager
def quiet(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Evaluation mode for the given submodules while open; the mode of each is restored afterwards."""
    awake = [m for m in modules if in_training(m)]
    for m in awake:
        m.training = False
    try:
        yield
    finally:
        for m in awake:
            m.training = True


def shown(network: nn.Module, x: Tensor, half: torch.dtype | None = None) -> Tensor:
    """Images in the type that a network takes.

    Args:
        network: The network. One whose parameters are all of one type is shown that type where it or the images' is half
            precision; float32 and float64 are never exchanged, so that such a mismatch is noticed.
        x: Images `(batch, ...)`.
        half: The half-precision type in which the images are given, through which they pass; None: that of x.

    Returns:
        x itself where its type is the one, else a copy.
    """
    given = x.dtype if half is None else half
    taken = next((p.dtype for p in network.parameters() if p.is_floating_point()), given)
    if taken != given:
        types = {p.dtype for p in network.parameters() if p.is_floating_point()}
        if len(types) > 1 or not HALF & {taken, given}:
            taken = given
    return x.to(given).to(taken)


def predict(
    module: nn.Module, x: Tensor, half: torch.dtype | None = None, precision: Precision | None = None
) -> Tensor:
    """Logits without gradients; the caller sets the modes.

    Args:
        module: The network.
        x: Images `(batch, ...)`.
        half: As for `shown`.
        precision: In which the network is computed; None: as torch is set.

    Returns:
        Logits `(batch, classes)`, in the type in which an attack on x computes.

    Raises:
        ContractError: The output is no batch of logits, or the module has written into its input.
    """
    with torch.no_grad(), products(precision, x.device), autocast(precision, x.device):
        return _answer(module, shown(module, x, half)).to(working_type(x.dtype))


def check_gradients(way_out: str = "leave it (torch.no_grad() may stay)") -> None:
    """Check that gradients are possible here. Raises ContractError, which ends in the way out."""
    if torch.is_inference_mode_enabled():
        raise ContractError(
            f"expected gradients to be possible, got a call inside torch.inference_mode(), which forbids them; {way_out}"
        )


def differentiate(
    source: nn.Module,
    x: Tensor,
    functions: Sequence[Callable[[Tensor], Tensor]],
    half: torch.dtype | None = None,
    classes: int | None = None,
    precision: Precision | None = None,
) -> Answer:
    """Logits of a network and image gradients of functions of them: one forward, and one backward for each function.

    Args:
        source: The network.
        x: Images `(batch, ...)`.
        functions: Functions of the logits with one value per sample; values are summed, so each sample's gradient is
            its own.
        half: As for `shown`.
        classes: Columns of the target, see `in_columns`; None: those of the network.
        precision: In which the network is computed, not the functions; None: as torch is set.

    Returns:
        Logits `(batch, classes)`, values `(batch,)` and gradients `(batch, ...)` of each function, detached, in the type of
        x; a component that is not finite is zero. And the number of such gradients of each image, `(batch,)`.

    Raises:
        ContractError: The output is no batch of logits, the network has written into its input, or a function into the
            logits.
        NoGradient: A function does not depend on the image.
    """
    check_gradients("leave it (torch.no_grad() may stay) or attack by scores or labels")
    with torch.enable_grad(), products(precision, x.device):
        leaf = shown(source, x.detach(), half).requires_grad_(True)
        with autocast(precision, x.device):
            answer = _followed(source, leaf)
        logits, narrow = answer.to(working_type(x.dtype)), bool(HALF & {leaf.dtype, answer.dtype})
        logits = logits if classes is None else in_columns(logits, classes)
        version = _version(logits)
        values = [f(logits) for f in functions]
        if _version(logits) != version:
            raise ContractError(
                "expected a loss that leaves the logits as they are, got one that changes them in place; "
                "let it begin with logits = logits.clone()"
            )
        gradients, nonfinite = [], torch.zeros(len(x), dtype=torch.int64, device=x.device)
        for i, value in enumerate(values):
            g, more = None, i + 1 < len(values)
            if value.requires_grad and narrow:
                g = _through_half(value, logits, answer, leaf, more)
            elif value.requires_grad:
                g = _gradient(value.sum(), leaf, more)
            if g is None:
                raise NoGradient(
                    f"expected a loss that is differentiable in the image, got one that does not depend on it; {WAY_OUT}"
                )
            g = g.to(logits.dtype)
            nonfinite += ~Linf.size(g).isfinite()
            gradients.append(g.nan_to_num(0.0, 0.0, 0.0))
    return logits.detach(), [v.detach() for v in values], gradients, nonfinite


def _followed(source: nn.Module, leaf: Tensor) -> Tensor:
    """Logits of images that require a gradient.

    Raises:
        NoGradient: The network answers these images, but not where a gradient is followed.
    """
    try:
        return _answer(source, leaf)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        try:
            with torch.no_grad():
                _answer(source, leaf.detach())
        except Exception:  # it fails either way: the first error is the network's own
            raise error from None
        raise _no_gradient(error) from error


def _gradient(total: Tensor, of: Tensor, more: bool) -> Tensor | None:
    """Gradient of a number, None where it does not depend on `of`; more: another one follows.

    A number, not `grad_outputs`: for those torch imports sympy, one more second in every process.
    """
    try:
        (g,) = torch.autograd.grad(total, of, retain_graph=more, allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise _no_gradient(error) from error
    return g


def _no_gradient(error: RuntimeError) -> NoGradient:
    cause = str(error).strip().split("\n")[0][:120]
    return NoGradient(
        f"expected a model that can be differentiated in the image, but doing so raises {type(error).__name__}, "
        f"{cause!r}; {WAY_OUT}"
    )


def _through_half(value: Tensor, logits: Tensor, answer: Tensor, leaf: Tensor, more: bool) -> Tensor | None:
    """Image gradient of a loss through a network of half precision, None where there is none.

    The gradient of the logits is scaled to a largest component between 1/2 and 1, by a power of two for each image, and
    the image's scaled back: what float16 rounds to zero below 6e-8 is the gradient of a confident network.

    Args:
        value: The loss of each image, `(batch,)`.
        logits: The logits that it is a function of.
        answer: The same as the network gave them.
        leaf: The images.
        more: Another loss follows.
    """
    z = _gradient(value.sum(), logits, more=True)
    if z is None:
        return None
    exponent = torch.frexp(Linf.size(z).nan_to_num(1.0, 1.0)).exponent.clamp(-100, 100)
    scaled = torch.ldexp(z, -exponent[:, None]).to(answer.dtype)
    g = _gradient((answer * scaled).sum(), leaf, more)
    return None if g is None else torch.ldexp(g.to(z.dtype), like(exponent, g))


def in_columns(logits: Tensor, classes: int) -> Tensor:
    """Logits of a source in the columns of the target, which may have one more or one less for 'rejected'.

    Args:
        logits: `(batch, columns)`.
        classes: Columns of the target; minus infinity fills one that the source does not have, its own last one goes.
    """
    missing = classes - logits.shape[1]
    return F.pad(logits, (0, missing), value=-torch.inf) if missing else logits


def _answer(module: nn.Module, x: Tensor) -> Tensor:
    """Logits for a copy of the images, which stay as they are."""
    copy = x.clone()
    version = _version(copy)
    logits = check_logits(module(copy), len(x))
    if _version(copy) != version:
        raise ContractError(
            "expected a model that leaves its input as it is, got one that changes it in place; let forward begin with "
            "x = x.clone(), or use an operation that is not in place (x * 2 for x.mul_(2), nn.ReLU() without inplace)"
        )
    return logits


def _version(x: Tensor) -> int:
    """Number of times that a tensor was written into; tensors of inference mode do not count."""
    return 0 if x.is_inference() else x._version


def accumulate(total: Answer | None, answer: Answer, share: float, weight: float) -> Answer:
    """Sum of answers: logits weighed by `share`, values and gradients by `weight`.

    Args:
        total: The sum so far; None before the first answer.
        answer: What is added; a single answer of share and weight 1 passes through untouched.
        share: Weight of its logits.
        weight: Weight of its values and gradients.
    """
    logits, values, gradients, nonfinite = answer
    if total is None and share == 1 and weight == 1:
        return answer
    logits, values, gradients = logits * share, [v * weight for v in values], [g * weight for g in gradients]
    if total is None:
        return logits, values, gradients, nonfinite
    return (
        total[0] + logits,
        [a + b for a, b in zip(total[1], values, strict=True)],
        [a + b for a, b in zip(total[2], gradients, strict=True)],
        total[3] + nonfinite,
    )
