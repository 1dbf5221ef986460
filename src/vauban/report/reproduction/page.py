"""Page of a reproduction: a paper's numbers beside ours, from `reproduction.json` alone, and its Markdown table."""

from __future__ import annotations

import base64
import binascii
import statistics
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vauban.core.errors import ContractError
from vauban.report.reproduction import figure_layout, number_text, row_labels
from vauban.report.reproduction.comparison_dots import dot_panels
from vauban.report.reproduction.figures import draw_figure
from vauban.report.reproduction.latex import latex_tables
from vauban.report.reproduction.markdown import markdown_tables
from vauban.report.reproduction.metric_table import reasons_of_line, table_by_key, table_by_name
from vauban.report.reproduction.text_sections import UNCERTAIN
from vauban.report.shared import format as fmt
from vauban.report.shared.assets import asset, template
from vauban.statistics.compare import REASONS, UNITS, ComparisonRow
from vauban.store.files import read_json, write_bytes

FILE = "reproduction.json"
FIELDS = (
    "id",
    "title",
    "source",
    "scale",
    "setting",
    "scale_note",
    "command",
    "created",
    "version",
    "minutes",
    "images",
    "seeds",
    "data",
    "models",
    "notes",
    "rows",
    "beyond",
    "figures",
    "pictures",
)


def write(folder: Path) -> Path:
    """Write `report.html` from `reproduction.json` in the same folder, atomically.

    Args:
        folder: The folder of one reproduction.

    Returns:
        The path of the page.

    Raises:
        ContractError: The record cannot be read, see `read`.
    """
    target = Path(folder) / "report.html"
    write_bytes(target, page(read(folder)).encode())
    return target


def read(folder: Path) -> dict[str, Any]:
    """The record of a reproduction.

    Args:
        folder: The folder that holds `reproduction.json`.

    Returns:
        Its content, with every name of `FIELDS`.

    Raises:
        ContractError: The file is missing, damaged or incomplete.
    """
    path = Path(folder) / FILE
    record = read_json(path)
    missing = [name for name in FIELDS if name not in record] if isinstance(record, dict) else list(FIELDS)
    if missing:
        raise ContractError(
            f"{path}: expected the record of a reproduction, got none of {', '.join(missing)}; run it again"
        )
    for row in record["rows"] + record["beyond"]:
        if absent := sorted(ComparisonRow.__required_keys__ - row.keys()):
            raise ContractError(f"{path}: expected {', '.join(absent)} in every row, got a row without; run it again")
        if row["unit"] not in UNITS:
            raise ContractError(f"{path}: expected a unit among {', '.join(UNITS)}, got {row['unit']!r}; run it again")
    return dict(record)


def page(record: Mapping[str, Any]) -> str:
    """The page as text; every string of the record is escaped."""
    rows: list[ComparisonRow] = record["rows"]
    explanations = shared_explanations(rows)
    units = {row["unit"] for row in rows}
    return template("reproduction/template.html").render(
        title=record["title"],
        record=record,
        meaning=meaning(record),
        tally=[(reason, count, explanations.get(reason, [])) for reason, count in tally(rows)],
        explained={why for sentences in explanations.values() for why in sentences},
        paper_table=table_by_key(rows),
        beyond_table=table_by_name(record["beyond"], row_labels.row_label),
        claims=record.get("claims", []),
        units=units,
        layout=figure_layout,
        matrices=record.get("matrices", []),  # older records have none
        tables=record.get("tables", []),
        figures=[draw_figure(figure) for figure in record["figures"]],
        shared_key=[row_labels.column_with_value(*part) for part in row_labels.shared_key(rows).items()],
        paper_panels=dot_panels(rows),
        beyond_panels=dot_panels(record["beyond"]),
        pictures=[picture | _size(picture["png"]) for picture in record["pictures"]],
        printed_sizes=fmt.enumeration([fmt.count(n) for n in sorted({row["printed_n"] for row in rows})]),
        uncertain=any(not row["certain"] for row in rows),
        duration=fmt.seconds(60 * record["minutes"]),
        sizes=sorted({row["n"] for row in rows}),
        metric_head=partial(row_labels.metric_head, rows),
        labels=row_labels,
        numbers=number_text,
        reasons_of_line=reasons_of_line,
        unsure=UNCERTAIN,
        style=asset("shared/style.css") + asset("shared/figures.css") + asset("reproduction/style.css"),
        fmt=fmt,
    )


def markdown(folder: Path) -> str:
    """The numbers of a reproduction as GitHub tables: the paper's beside ours, then ours alone. Raises as `read`."""
    return markdown_tables(read(folder))


def latex(folder: Path) -> str:
    """The same as LaTeX tables for booktabs. Raises as `read`."""
    return latex_tables(read(folder))


def meaning(record: Mapping[str, Any]) -> str:
    """Sentences on what a run of this setting and size can say about the paper, and what it cannot."""
    rows: list[ComparisonRow] = record["rows"]
    if not rows:
        return "The paper prints no numbers here; these are ours alone."
    if record["setting"] == "stand-in":
        return (
            "Other networks or data stand in for the paper's. No number here can confirm or refute one of the paper's, "
            "however near or far it is; what can be set beside the paper is the order: which network gives way, which "
            "defence holds, what transfers."
        )
    halves: dict[str, list[float]] = {}
    for row in rows:
        if row["diff_low"] is not None and row["diff_high"] is not None:
            halves.setdefault(row["unit"], []).append((row["diff_high"] - row["diff_low"]) / 2)
    if not halves:
        return "The networks and data are the paper's, but no number could be compared."
    small = []
    if "rate" in halves:
        small.append(f"{100 * statistics.median(halves['rate']):.1f} points")
    if "distance" in halves:
        small.append(f"{fmt.decimal(statistics.median(halves['distance']))} in distance")
    return (
        f"The networks and data are the paper's. With {fmt.plural(record['images'], 'image')}, differences below about "
        f"{' or '.join(small)} cannot be told from chance: compatible does not mean equal."
    )


def tally(rows: Sequence[ComparisonRow]) -> list[tuple[str, int]]:
    """The number of rows of each reason, the gravest first, those that have none left out."""
    counts = Counter(row["reason"] for row in rows)
    return [(reason, counts[reason]) for reason in REASONS if counts[reason]]


def shared_explanations(rows: Sequence[ComparisonRow]) -> dict[str, list[str]]:
    """Sentences by reason that stand on the page once instead of in every row.

    They are those which all rows of one reason and one unit give, where there are several such rows.
    """
    sentences: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        sentences.setdefault((row["reason"], row["unit"]), []).append(row["why"])
    shared: dict[str, list[str]] = {}
    for (reason, _), given in sentences.items():
        if len(given) > 1 and len(set(given)) == 1 and given[0] not in shared.setdefault(reason, []):
            shared[reason].append(given[0])
    return shared


def _size(png: str) -> dict[str, int]:
    """Width and height at which a PNG is shown, and whether that magnifies it by a whole number."""
    try:
        width, height = struct.unpack(">II", base64.b64decode(png[:64], validate=True)[16:24])
    except (binascii.Error, struct.error) as error:
        raise ContractError(f"picture: expected a PNG in base64, got {png[:16]!r}; run the experiment again") from error
    times = max(1, 320 // max(width, 1))
    return {"width": width * times, "height": height * times, "times": times}
