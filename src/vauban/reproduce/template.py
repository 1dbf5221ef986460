"""`vauban reproduce --template my.py`: a table of one's own paper to start from, and its printed numbers."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from vauban.core.errors import VaubanError
from vauban.store.files import check_output


def write_template(path: str | Path) -> tuple[Path, Path]:
    """Write an experiment that runs as it is, and the CSV of what the paper prints beside it.

    Args:
        path: The Python file to be written; the CSV gets its name.

    Returns:
        Both files.

    Raises:
        VaubanError: A file is there already, the name ends otherwise or makes no id, or the folder cannot be written.
    """
    target = Path(path).expanduser()
    if target.suffix != ".py" or not re.fullmatch(r"[\w.-]+", target.stem):
        raise VaubanError(f"expected a file of letters, digits, dots and dashes that ends in .py, got {target}")
    written = target, target.with_suffix(".csv")
    for one in written:
        if one.exists():
            raise VaubanError(f"expected a new file for the template, got {one}, which is there; name another")
        check_output(one)
    target.parent.mkdir(parents=True, exist_ok=True)
    for one in written:
        with one.open("x", encoding="utf-8") as file:
            file.write((files("vauban.reproduce") / f"paper_template{one.suffix}").read_text(encoding="utf-8"))
    return written
