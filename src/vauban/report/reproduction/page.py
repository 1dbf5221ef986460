"""A paper's numbers beside ours: one self-contained page and a Markdown table, from `reproduction.json` alone."""

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
from vauban.report.reproduction import figures, plot_area
from vauban.report.reproduction.dot_panels import alone, column, common, metric_title, panels, said, short, words
from vauban.report.reproduction.markdown import UNCERTAIN, tables
from vauban.report.reproduction.numbers import limits, points, points_range, printed, raw, value, within
from vauban.report.reproduction.printed_table import gathered, grid, reasons
from vauban.report.shared import format as fmt
from vauban.report.shared.assets import asset, template
from vauban.statistics.compare import REASONS, UNITS, ComparisonRow
from vauban.store.files import read_json, write_atomic

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
    """Write `report.html` from `reproduction.json` in the folder, atomically; returns where. ContractError as `read`."""
    html, target = page(read(folder)), Path(folder) / "report.html"

    def fill(temporary: Path) -> None:
        temporary.write_text(html, encoding="utf-8")

    write_atomic(target, fill)
    return target


def read(folder: Path) -> dict[str, Any]:
    """The record of a reproduction; a missing, damaged or incomplete file is a ContractError."""
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
    stated = shared(rows)
    units = {row["unit"] for row in rows}
    return template("reproduction/template.html").render(
        record=record,
        meaning=meaning(record),
        tally=[(reason, count, stated.get(reason, [])) for reason, count in tally(rows)],
        stated={why for sentences in stated.values() for why in sentences},
        grid=grid(rows),
        more=gathered(record["beyond"], short),
        units=units,
        plot_area=plot_area,
        drawn=[figures.figure(one) for one in record["figures"]],
        common=[said(*fact) for fact in common(rows).items()],
        charts=[("rows", panels(rows)), ("beyond", panels(record["beyond"]))],
        pictures=[picture | _size(picture["png"]) for picture in record["pictures"]],
        printed_sizes=fmt.listing([fmt.count(n) for n in sorted({row["printed_n"] for row in rows})]),
        uncertain=any(not row["certain"] for row in rows),
        duration=fmt.seconds(60 * record["minutes"]),
        printed=printed,
        raw=raw,
        value=value,
        within=within,
        limits=limits,
        sizes=sorted({row["n"] for row in rows}),
        metric_title=partial(metric_title, rows),
        points=points,
        points_range=points_range,
        short=short,
        words=words,
        alone=alone,
        column=column,
        reasons=reasons,
        unsure=UNCERTAIN,
        style=asset("shared/style.css") + asset("reproduction/style.css"),
        fmt=fmt,
    )


def markdown(folder: Path) -> str:
    """GitHub tables: the paper's numbers beside ours, then the cells that the paper does not have."""
    return tables(read(folder))


def meaning(record: Mapping[str, Any]) -> str:
    """What a run of this setting and size can say about the paper, and what it cannot."""
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
        f"The networks and data are the paper's. With {fmt.count(record['images'])} images, differences below about "
        f"{' or '.join(small)} cannot be told from chance: compatible does not mean equal."
    )


def tally(rows: Sequence[ComparisonRow]) -> list[tuple[str, int]]:
    """How many rows each reason has, the gravest first, those that have none left out."""
    counts = Counter(row["reason"] for row in rows)
    return [(reason, counts[reason]) for reason in REASONS if counts[reason]]


def shared(rows: Sequence[ComparisonRow]) -> dict[str, list[str]]:
    """The sentences of each reason which all its rows of one unit, several, give: said once, not in every row."""
    sentences: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        sentences.setdefault((row["reason"], row["unit"]), []).append(row["why"])
    found: dict[str, list[str]] = {}
    for (reason, _), given in sentences.items():
        if len(given) > 1 and len(set(given)) == 1 and given[0] not in found.setdefault(reason, []):
            found[reason].append(given[0])
    return found


def _size(png: str) -> dict[str, int]:
    """Width and height at which a PNG is shown, and whether that magnifies it by a whole number."""
    try:
        width, height = struct.unpack(">II", base64.b64decode(png[:64], validate=True)[16:24])
    except (binascii.Error, struct.error) as error:
        raise ContractError(f"picture: expected a PNG in base64, got {png[:16]!r}; run the experiment again") from error
    times = max(1, 320 // max(width, 1))
    return {"width": width * times, "height": height * times, "times": times}
