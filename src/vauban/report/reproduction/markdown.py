"""Markdown tables of a reproduction, as GitHub reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vauban.report.reproduction.text_sections import TextSection, sections
from vauban.report.shared.format import markdown_text


def markdown_tables(record: Mapping[str, Any]) -> str:
    """The tables of a reproduction one below the other.

    Args:
        record: The content of a `reproduction.json`.
    """
    return "\n".join(map(_markdown, sections(record)))


def _markdown(section: TextSection) -> str:
    rule = ["---" if section.aligned_left(at) else "---:" for at in range(len(section.head))]
    lines = (section.head, rule, *section.lines)
    above = "".join(f"{text}\n\n" for text in (section.title, section.caption) if text)
    below = f"\n{section.note}\n" if section.note else ""
    return above + "".join("| " + " | ".join(map(markdown_text, line)) + " |\n" for line in lines) + below
