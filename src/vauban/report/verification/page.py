"""Page of a verification, and its file with a line per image."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vauban.report.shared import assets
from vauban.store.files import write_atomic, write_bytes


def write(folder: Path, numbers: Mapping[str, Any], said: Sequence[str], rows: Mapping[str, Sequence[Any]]) -> Path:
    """Write `verification.html` and `images.csv`.

    Args:
        folder: Where to; it is made.
        numbers: What holds for all images, by name.
        said: Sentences on what keeps images from counting.
        rows: One value per image in each column.

    Returns:
        The page.
    """
    shown = [(name.replace("_", " "), f"{v:.4f}" if isinstance(v, float) else str(v)) for name, v in numbers.items()]
    lines = list(zip(*rows.values(), strict=True))
    page = assets.template("verification/template.html").render(
        title="Verification",
        style=assets.asset("shared/style.css"),
        numbers=shown,
        said=said,
        columns=list(rows),
        rows=lines,
    )

    def table(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([list(rows), *lines])

    write_atomic(folder / "images.csv", table)
    write_bytes(folder / "verification.html", page.encode())
    return folder / "verification.html"
