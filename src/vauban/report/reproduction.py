"""A paper's numbers beside ours: one self-contained page and a Markdown table, from `reproduction.json` alone."""

from __future__ import annotations

import base64
import binascii
import re
import statistics
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vauban.core.errors import ContractError
from vauban.report import format as fmt
from vauban.report.page import asset, template
from vauban.report.panels import common, measured, panels, said, short, within, words
from vauban.store.files import read_json, write_atomic
from vauban.store.reproduction import REASONS, Row

FILE = "reproduction.json"
FIELDS = (
    "id", "title", "source", "scale", "setting", "scale_note", "command", "created", "version", "minutes", "images",
    "seeds", "data", "models", "notes", "rows", "beyond", "pictures",
)  # fmt: skip
UNCERTAIN = "damaged in the source: shown, not scored"


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
    return dict(record)


def page(record: Mapping[str, Any]) -> str:
    """The page as text; every string of the record is escaped."""
    rows: list[Row] = record["rows"]
    stated = shared(rows)
    return template("reproduction.html").render(
        record=record,
        meaning=meaning(record),
        tally=[(reason, count, stated.get(reason)) for reason, count in tally(rows)],
        stated=set(stated.values()),
        common=[said(*fact) for fact in common(rows).items()],
        charts=[("rows", panels(rows)), ("beyond", panels(record["beyond"]))],
        pictures=[picture | _size(picture["png"]) for picture in record["pictures"]],
        printed_sizes=fmt.listing([fmt.count(n) for n in sorted({row["printed_n"] for row in rows})]),
        uncertain=any(not row["certain"] for row in rows),
        duration=fmt.seconds(60 * record["minutes"]),
        printed=printed, raw=raw, within=within, points=points, points_range=points_range,
        short=short, words=words, unsure=UNCERTAIN,
        style=asset("style.css") + asset("reproduction.css"),
        fmt=fmt,
    )  # fmt: skip


def markdown(folder: Path) -> str:
    """GitHub tables: the paper's numbers beside ours, then the cells that the paper does not have."""
    record = read(folder)
    head = ("Cell", "Metric", "Paper", "Ours [95 % interval], n", "Difference in points [95 % interval]", "Reason")
    lines = [
        (
            short(r),
            words(r["metric"]),
            _printed_md(r),
            measured(r),
            f"{points(r)} {points_range(r)}".strip(),
            r["reason"],
        )
        for r in record["rows"]
    ]
    text = _table(head, lines) if lines else ""
    if any(not row["certain"] for row in record["rows"]):
        text += f"\n? {UNCERTAIN}.\n"
    if record["beyond"]:
        rest = [(short(row), words(row["metric"]), measured(row)) for row in record["beyond"]]
        text += ("\n" if text else "") + "Beyond the paper:\n\n" + _table((head[0], head[1], head[3]), rest)
    return text


def meaning(record: Mapping[str, Any]) -> str:
    """What a run of this setting and size can say about the paper, and what it cannot."""
    rows: list[Row] = record["rows"]
    if not rows:
        return "The paper prints no numbers here; these are ours alone."
    if record["setting"] == "stand-in":
        return (
            "Other networks or data stand in for the paper's. No number here can confirm or refute one of the paper's, "
            "however near or far it is; what can be set beside the paper is the order: which network gives way, which "
            "defence holds, what transfers."
        )
    halves = [
        (r["diff_high"] - r["diff_low"]) / 2 for r in rows if r["diff_low"] is not None and r["diff_high"] is not None
    ]
    if not halves:
        return "The networks and data are the paper's, but no number could be compared."
    return (
        f"The networks and data are the paper's. With {fmt.count(record['images'])} images, differences below about "
        f"{100 * statistics.median(halves):.1f} points cannot be told from chance: compatible does not mean equal."
    )


def tally(rows: Sequence[Row]) -> list[tuple[str, int]]:
    """How many rows each reason has, the gravest first, those that have none left out."""
    counts = Counter(row["reason"] for row in rows)
    return [(reason, counts[reason]) for reason in REASONS if counts[reason]]


def shared(rows: Sequence[Row]) -> dict[str, str]:
    """The sentence of each reason whose rows, several, all give the same: said once, not in every row."""
    sentences: dict[str, list[str]] = {}
    for row in rows:
        sentences.setdefault(row["reason"], []).append(row["why"])
    return {reason: given[0] for reason, given in sentences.items() if len(given) > 1 and len(set(given)) == 1}


def printed(row: Row) -> str:
    """The paper's number in percent."""
    return fmt.DASH if row["printed"] is None else fmt.percent(row["printed"])


def raw(row: Row) -> str:
    """The characters found in the source, where they say anything else than the number."""
    plain = row["raw"].strip().removesuffix("%").strip().replace(",", ".")
    try:
        same = row["printed"] is not None and abs(float(plain) / 100 - row["printed"]) < 1e-9
    except ValueError:
        same = False
    return "" if same else row["raw"].strip()


def points(row: Row) -> str:
    """Ours minus the paper's, in percentage points."""
    return fmt.DASH if row["difference"] is None else _signed(row["difference"])


def points_range(row: Row) -> str:
    """The interval of the difference."""
    if row["diff_low"] is None or row["diff_high"] is None:
        return ""
    return f"[{_signed(row['diff_low'])}, {_signed(row['diff_high'])}]"


def _signed(value: float) -> str:
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def _printed_md(row: Row) -> str:
    found = raw(row)
    return printed(row) + ("" if row["certain"] else " ?") + (f" (source: {found})" if found else "")


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---" if at < 2 or name == "Reason" else "---:" for at, name in enumerate(head)]
    return "".join("| " + " | ".join(map(_md, line)) + " |\n" for line in (head, rule, *lines))


def _md(text: str) -> str:
    plain = re.sub(r"[ \t\r\n]+", " ", text).replace("&", "&amp;").replace("<", "&lt;")
    # An underscore inside a word and a bracket that opens no link are text already.
    return re.sub(r"[\\|`*]|(?<!\w)_|_(?!\w)|\](?=\()", r"\\\g<0>", plain)


def _size(png: str) -> dict[str, int]:
    """Width and height at which a PNG is shown, and whether that magnifies it by a whole number."""
    try:
        width, height = struct.unpack(">II", base64.b64decode(png[:64], validate=True)[16:24])
    except (binascii.Error, struct.error) as error:
        raise ContractError(f"picture: expected a PNG in base64, got {png[:16]!r}; run the experiment again") from error
    times = max(1, 320 // max(width, 1))
    return {"width": width * times, "height": height * times, "times": times}
