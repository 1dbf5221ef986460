"""Markdown tables, on the screen and in a section of a file."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

Row = Sequence[object]


def table(header: Sequence[str], rows: Sequence[Row]) -> str:
    """A Markdown table; numbers are written with three significant digits or as they come."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *([_cell(v) for v in row] for row in rows)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def publish(name: str, text: str, machine: str, path: Path | None) -> None:
    """Print a section with the command that made it, and put it between the marks `<!-- name -->` of a file."""
    paths = {"--data-root": "DATA", "--weights": "WEIGHTS", "--robust": "ROBUST", "--write": "FILE"}
    words = sys.argv[1:]
    shown = [paths.get(before, shlex.quote(word)) for before, word in zip(["", *words], words, strict=False)]
    section = f"`python -m benchmarks.{name} {' '.join(shown)}`\n\n{machine}.\n\n{text}\n"
    print(section)
    if path is None:
        return
    whole = path.read_text() if path.is_file() else ""
    begin, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    block = f"{begin}\n{section}{end}"
    if begin in whole:
        whole = re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _: block, whole, flags=re.DOTALL)
    else:
        whole = whole.rstrip() + f"\n\n{block}\n"
    path.write_text(whole.lstrip())
