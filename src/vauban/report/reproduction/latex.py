"""LaTeX tables of a reproduction, for booktabs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vauban.report.reproduction.text_sections import TextSection, sections
from vauban.report.shared.text_tables import latex, latex_text

CLAIMS = "p{0.36\\linewidth}p{0.12\\linewidth}p{0.12\\linewidth}p{0.3\\linewidth}"
STAND_IN = "Other networks or data stand in for the paper's: no number here confirms or refutes one of it."


def latex_tables(record: Mapping[str, Any]) -> str:
    """The tables of a reproduction, each a tabular of its own below comments that say what it is.

    Args:
        record: The content of a `reproduction.json`.
    """
    about = [
        r"\usepackage{booktabs}",
        f"{record['id']}, scale {record['scale']}: {record['title']} ({record['source']})",
        f"data {record['data']['name']}, images {record['images']}, seeds {_listed(record['seeds'])}",
    ]
    if record.get("training_seeds"):
        about.append(f"networks trained with seeds {_listed(record['training_seeds'])}")
    if record["setting"] == "stand-in":
        about.append(STAND_IN)
    return "\n".join(["".join(map(_comment, about)), *map(_latex, sections(record))])


def _latex(section: TextSection) -> str:
    aligned = "".join("l" if section.aligned_left(at) else "r" for at in range(len(section.head)))
    if section.title == "Claims:":
        aligned = CLAIMS
    above = "".join(_comment(text) for text in (section.title, section.caption) if text)
    below = f"\n{latex_text(section.note)}\n" if section.note else ""
    return above + latex(section.head, section.lines, aligned) + below


def _comment(text: str) -> str:
    return f"% {' '.join(text.split())}\n"


def _listed(values: Any) -> str:
    return ", ".join(map(str, values))
