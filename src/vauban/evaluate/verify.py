"""Judge adversarial images that somebody else made."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vauban.core.answers import check_answerable
from vauban.core.arguments import named_arguments
from vauban.core.arrays import tensor_of, within_tolerance
from vauban.core.cards import rejecting
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, exits_are_errors
from vauban.core.goals import ResolvedGoal
from vauban.core.norms import Ball, Linf, norm_by_name
from vauban.core.pixel_grid import on_grid
from vauban.core.precision import HALF, raised
from vauban.core.rng import Stream
from vauban.core.text import parse_value
from vauban.core.tolerance import upper_limit
from vauban.engine import BoundThreat, Verdict, judge
from vauban.evaluate.adversarial_files import images_of, read_images
from vauban.evaluate.batch import pictured, png
from vauban.evaluate.cell import answers
from vauban.evaluate.diagnostics.first_look import first_look, tell
from vauban.evaluate.shuffled_change import shuffled
from vauban.words import data as datasets
from vauban.words.model import model_of


@dataclass(frozen=True)
class Verification:
    """What the supplied images are worth. Rates are shares of all samples; a success counts only inside the budget.

    Attributes:
        largest_distance, largest_distance_saved: As given, and after each image was rounded to 8 bits, saved as PNG and
            read again (vectors are not saved); infinite where an image holds NaN.
        in_budget_saved, success_reloaded: What is left in the budget, and of the success, after that.
        largest_budget_on_grid: The largest radius on the grid of 256 levels within an L-infinity budget; None for others.
        budget: The ball, as text.
        clean_not_finite, not_finite: Of the originals and of the images, those whose logits are not finite: misclassified.
        clean_rejected, rejected: Of the originals, which are errors, and of the images, those that the model rejects; None,
            as the next two, for a model that rejects nothing.
        fooled_or_rejected: Wrong before, a success, or rejected.
        noise_rejected: Rejected with noise of the size of their change.
        rows: One value per image in each column, beside `id`.
    """

    samples: int
    in_range: float
    in_budget: float
    on_grid: float
    largest_distance: float
    clean_accuracy: float
    misclassified: float
    success: float
    success_reloaded: float
    robust_accuracy: float
    in_budget_saved: float
    largest_distance_saved: float
    largest_budget_on_grid: float | None
    budget: str
    clean_not_finite: float
    not_finite: float
    clean_rejected: float | None
    rejected: float | None
    fooled_or_rejected: float | None
    noise_rejected: float | None
    rows: Mapping[str, Sequence[Any]] = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """The numbers, without those of the images."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "rows"}

    def sentences(self) -> list[str]:
        """What keeps images from counting, in plain words; nothing where all is well."""
        norm, _, radius = self.budget.partition(":")
        said = []
        if outside := self._count(self.in_range):
            said.append(f"{outside} not in [0,1] or not finite: they count as failures")
        if outside := self._count(self.in_budget):
            over = self.largest_distance - float(radius)
            said.append(
                f"{outside} outside the budget, the farthest by {over:.3g} at {norm} {self.largest_distance:.4g}"
            )
        left = int(sum(map(bool, self.rows["leaves_when_saved"])))
        if left:
            over = self.largest_distance_saved - float(radius)
            grid = self.largest_budget_on_grid
            way = (
                f"the largest budget on the grid is {round(grid * 255)}/255 = {grid:.4f}; " if grid is not None else ""
            )
            said.append(
                f"{left} leave the budget when they are saved at 8 bits, by up to {over:.3g}; {way}round inside the ball"
            )
        if both := round((self.clean_not_finite + self.not_finite) * self.samples):
            said.append(f"{both} originals and images have non-finite logits: they count as misclassified")
        if self.fooled_or_rejected is not None and self.noise_rejected is not None:
            said.append(
                f"{self.fooled_or_rejected:.1%} fooled or rejected; with noise of the same size {self.noise_rejected:.1%} "
                "are rejected"
            )
        if self.misclassified > self.success:
            lost = round((self.misclassified - self.success) * self.samples)
            said.append(f"{lost} have a wrong label and count for nothing, since they are outside the budget or [0,1]")
        return said

    def _count(self, share: float) -> int:
        return round((1 - share) * self.samples)

    def write(self, folder: str | Path) -> Path:
        """Write `images.csv`, a line per image, and `verification.html`; returns the page."""
        from vauban.report.verification import page

        return page.write(Path(folder), self.as_dict(), self.sentences(), self.rows)


def parse_budget(text: str) -> Ball:
    """`linf:8/255` -> Linf(8/255)."""
    name, colon, radius = text.partition(":")
    value = parse_value(radius) if colon else None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ContractError(f"expected a budget like linf:8/255, got {text!r}")
    return norm_by_name(name)(float(value))


@named_arguments
@exits_are_errors()
def verify(
    model: nn.Module | str, data: Any, adversarial: Any, budget: Ball | str, rejects: bool = False
) -> Verification:
    """Judge images `(n, ...)` in [0,1], in the order of the data, against the data's originals and labels.

    adversarial: a tensor, an array or a file (see `read_images`). rejects: the model's last logit means
    'rejected'. Raises ContractError when count or shape do not match.
    """
    ball = parse_budget(budget) if isinstance(budget, str) else budget
    if not isinstance(ball, Ball):
        raise ContractError(
            f"expected a budget as a ball, such as Linf(8/255), or a text like linf:8/255, got {ball!r}"
        )
    model, data = model_of(model, rejects).value, datasets.load(data)
    file = isinstance(adversarial, (str, Path))
    x = read_images(Path(adversarial), data) if file else images_of(tensor_of(adversarial, "images"), data)
    if len(x) != len(data) or tuple(x.shape[1:]) != tuple(data.shape):
        raise ContractError(
            f"expected {len(data)} images of shape {tuple(data.shape)} for this data, got {tuple(x.shape)}; "
            "slice the data like the images were made, e.g. mnist/test[:500]"
        )
    check_answerable(data.y, len(data), answers(model, data.take(1).x).shape[1], rejecting(model))
    threat, findings = first_look(BoundThreat(model, levels=None), data.take(8), "labels", classes=data.known_classes)
    tell(findings)
    parts = [
        _judged(threat, ball, given, batch) for given, batch in zip(torch.split(x, 128), data.batches(128), strict=True)
    ]
    rows = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    share = {name: float(rows[name].double().mean()) for name in rows}
    grid = math.floor(upper_limit(float(ball.radius)) * 255) / 255 if ball.norm is Linf else None
    return Verification(
        samples=len(x),
        largest_distance=float(rows["distance"].max()),
        clean_accuracy=share["clean_correct"],
        robust_accuracy=share["robust"],
        largest_distance_saved=float(rows["distance_saved"].max()),
        largest_budget_on_grid=grid,
        budget=str(ball),
        rows={name: column.tolist() for name, column in rows.items()},
        in_range=share["in_range"],
        in_budget=share["in_budget"],
        on_grid=share["on_grid"],
        misclassified=share["misclassified"],
        success=share["success"],
        success_reloaded=share["success_reloaded"],
        in_budget_saved=share["in_budget_saved"],
        clean_not_finite=share["clean_not_finite"],
        not_finite=share["not_finite"],
        clean_rejected=share.get("clean_rejected"),
        rejected=share.get("rejected"),
        fooled_or_rejected=share.get("fooled_or_rejected"),
        noise_rejected=share.get("noise_rejected"),
    )


def _judged(threat: BoundThreat, ball: Ball, given: Tensor, batch: Batch) -> dict[str, Tensor]:
    """The columns of one batch, `(batch,)` each."""
    given = _levels(given, batch.levels).to(batch.x.dtype)
    finite = torch.isfinite(given).flatten(1).all(1)
    given = within_tolerance(torch.nan_to_num(given, nan=-1.0))
    goal, bound = ResolvedGoal(batch.y, rejects=threat.rejects), ball.bind(batch.x)
    clean = judge(threat, batch.x, batch.x, goal)
    verdict = judge(threat, batch.x, given, goal, limit=ball)
    saved = _reload(given) if pictured(given.shape[1:]) else given
    again = judge(threat, batch.x, saved, goal, limit=ball)
    inside = finite & bound.contains(given, batch.x)
    inside_saved = finite & bound.contains(saved, batch.x)
    rejections = _rejections(threat, given, batch, goal, clean, verdict) if threat.rejects else {}
    return {
        "id": batch.ids,
        "y": batch.y,
        "label": verdict.label,
        "in_range": finite & ((given >= 0) & (given <= 1)).flatten(1).all(1),
        "in_budget": inside,
        "in_budget_saved": inside_saved,
        "leaves_when_saved": inside & ~inside_saved,
        "on_grid": finite & torch.tensor([on_grid(image, 256) for image in given]),
        "distance": ball.norm.size(given - batch.x).where(finite, torch.inf).double(),
        "distance_saved": ball.norm.size(saved - batch.x).where(finite, torch.inf).double(),
        "clean_correct": 1 - clean.error,
        "misclassified": verdict.misclassified,
        "success": verdict.success,
        "success_reloaded": verdict.success & again.success,
        "robust": 1 - torch.maximum(clean.error, verdict.success.double()),
        "clean_not_finite": clean.not_finite,
        "not_finite": verdict.not_finite,
        **rejections,
    }


def _rejections(
    threat: BoundThreat, given: Tensor, batch: Batch, goal: ResolvedGoal, clean: Verdict, verdict: Verdict
) -> dict[str, Tensor]:
    """The columns of a model that rejects images, `(batch,)` each."""
    refused = verdict.rejected * verdict.admissible
    noise = shuffled(batch.x, given, Stream(0, batch.ids))
    return {
        "clean_rejected": clean.rejected,
        "rejected": refused,
        "fooled_or_rejected": torch.maximum(clean.error, torch.maximum(verdict.success.double(), refused)),
        "noise_rejected": judge(threat, batch.x, noise, goal).rejected,
    }


def _levels(given: Tensor, levels: int | None) -> Tensor:
    """Images of half precision as the pixel levels that they stand for; others, and those between levels, as they are."""
    half = given.dtype in HALF and levels is not None and bool(given.isfinite().all())
    return raised(given, levels) if half and levels is not None and on_grid(given, levels) else given


def _reload(x: Tensor) -> Tensor:
    pixels = [np.asarray(Image.open(io.BytesIO(png(image)))) for image in x]
    stacked = torch.from_numpy(np.stack(pixels)).to(x.dtype) / 255
    return stacked[:, None] if x.shape[1] == 1 else stacked.permute(0, 3, 1, 2).contiguous()
