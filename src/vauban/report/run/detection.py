"""Detectors of a run: operating points and the curve of detections against false positives, attack by attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vauban.report.reproduction.figure_layout import DrawnFigure
from vauban.report.reproduction.figures import draw_figure
from vauban.report.run.attack_labels import attack_labels
from vauban.report.run.judged_cells import attacked_cells, current_cells, judged_network, undefended_first
from vauban.report.shared import format as fmt
from vauban.report.shared.text_tables import csv_lines, latex, markdown
from vauban.statistics.combine import group, norm_of
from vauban.statistics.detection import area, has_scores, operating_point, own_point, roc, worst_success
from vauban.statistics.estimates import Estimate, rate
from vauban.statistics.summary import broken, fooled_or_rejected, population, rejected, select
from vauban.store import CellRows, Run

POINTS = (0.05, 0.5)
"""False positives of the operating points that are told beside the network's own."""
_PERCENT = tuple(f"{share:.0%}".replace("%", "\u00a0%") for share in POINTS)
HEADS = (
    "Attack",
    "Threat",
    "Budget",
    "n",
    "False positives",
    "Success at them",
    *(f"Success at {share}" for share in _PERCENT),
    "Fooled or rejected",
    "Detected",
    "AUC",
)
_RAW = (
    "model",
    "defence",
    "data",
    "attack",
    "threat",
    "norm",
    "eps",
    "wanted_false_positives",
    "threshold",
    "false_positives",
    "images",
    "success",
    "success_low",
    "success_high",
    "detected",
    "area",
)
CAVEAT = (
    "Success: wrong and accepted, over the images with a right class; at other false positives the threshold is moved "
    "after the attack, which was made against the network's own, so that an attacker who knew it could do better. "
    "Detected: of the images that would fool the network were they accepted. AUC: how often such an image looks less "
    "clean than an original."
)


@dataclass(frozen=True)
class DetectionView:
    """One detector as a page shows it."""

    where: str
    figure: DrawnFigure
    lines: tuple[tuple[str, ...], ...]


def detection_views(run: Run) -> list[DetectionView]:
    """The networks of a run that reject images, by model and defence."""
    return [
        DetectionView(" · ".join(key), _figure(held, labels), tuple(_lines(held, labels)))
        for key, held, labels in _detectors(run)
    ]


def detection_text(run: Run, form: str) -> str:
    """Operating points as Markdown, CSV or LaTeX; nothing where no network rejects images."""
    detectors = _detectors(run)
    if not detectors:
        return ""
    if form == "csv":
        return csv_lines(_RAW, detection_rows(run))
    parts = []
    for key, held, labels in detectors:
        lines = _lines(held, labels)
        where = " · ".join(key)
        if form == "latex":
            parts.append(f"% {' '.join(where.split())}\n{latex(HEADS, lines, 'lll' + 'r' * (len(HEADS) - 3))}")
        else:
            parts.append(f"{where}\n\n{markdown(HEADS, lines)}\n{CAVEAT}\n")
    return "\n".join(parts)


def detection_rows(run: Run) -> list[dict[str, Any]]:
    """The unrounded operating points of every detector, by their names in the CSV."""
    return [line for _, held, labels in _detectors(run) for cell in held for line in _raw(cell, labels)]


def _detectors(run: Run) -> list[tuple[tuple[str, str, str], list[CellRows], dict[str, str]]]:
    """Network, its current cells, and labels of their attacks."""
    held = [cell for cell in attacked_cells(run) if has_scores(cell.columns)]
    labels, groups = attack_labels(held), group(held, judged_network)
    return [(key, current_cells(groups[key]), labels) for key in sorted(groups, key=undefended_first)]


def _lines(cells: Sequence[CellRows], labels: dict[str, str]) -> list[tuple[str, ...]]:
    """A line for each attack, and where there are several one for the attacker who has them all."""
    lines = [_line(cell, labels) for cell in cells]
    if len(cells) > 1:
        columns = [cell.columns for cell in cells]
        clean = own_point(columns[0])
        points = [clean, *(operating_point(columns[0], share) for share in POINTS)]
        worst = [worst_success(columns, point.threshold) for point in points]
        told = [str(worst[0].n), fmt.percent(clean.false_positives.value), *map(fmt.rate, worst)]
        lines.append(("any of these", "", "", *told, *[fmt.DASH] * 3))
    return lines


def _line(cell: CellRows, labels: dict[str, str]) -> tuple[str, ...]:
    columns = cell.columns
    own, points = own_point(columns), [operating_point(columns, share) for share in POINTS]
    chosen = select(columns, population(columns, "correct"))
    either = rate(fooled_or_rejected(broken(chosen), rejected(chosen)[1]))
    under = area(columns)
    return (
        labels[cell.meta["hash"]],
        str(cell.meta.get("threat")),
        fmt.budget(norm_of(cell), cell.meta.get("eps")),
        str(own.success.n),
        fmt.percent(own.false_positives.value),
        *(fmt.rate(point.success) for point in (own, *points)),
        fmt.percent(either.value),
        _share(own.detected),
        fmt.DASH if under != under else f"{under:.3f}",
    )


def _share(value: Estimate) -> str:
    return fmt.DASH if value.n == 0 else f"{fmt.percent(value.value)} of {value.n}"


def _figure(cells: Sequence[CellRows], labels: dict[str, str]) -> DrawnFigure:
    threats = {str(cell.meta.get("threat")) for cell in cells}
    series = []
    for cell in cells:
        x, y = roc(cell.columns)
        name = f"{labels[cell.meta['hash']]}, {fmt.budget(norm_of(cell), cell.meta.get('eps'))}"
        name += f" · {cell.meta.get('threat')}" if len(threats) > 1 else ""
        series.append({"name": name, "x": [float(v) for v in x], "y": [float(v) for v in y]})
    return draw_figure(
        {
            "kind": "lines",
            "title": "Detections against false positives",
            "caption": "",
            "x_label": "originals rejected",
            "y_label": "attack's images rejected",
            "step": True,
            "series": series,
        }
    )


def _raw(cell: CellRows, labels: dict[str, str]) -> list[dict[str, Any]]:
    fixed = [
        *judged_network(cell),
        labels[cell.meta["hash"]],
        str(cell.meta.get("threat")),
        norm_of(cell),
        cell.meta.get("eps"),
    ]
    lines = []
    for wanted in (None, *POINTS):
        point = own_point(cell.columns) if wanted is None else operating_point(cell.columns, wanted)
        numbers = [wanted, point.threshold, point.false_positives.value, point.success.n]
        numbers += [point.success.value, *point.success.interval, point.detected.value, area(cell.columns)]
        lines.append(dict(zip(_RAW, [*fixed, *numbers], strict=True)))
    return lines
