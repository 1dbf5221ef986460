"""Verification: the numbers on adversarial images that somebody else made, and what they say in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


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
