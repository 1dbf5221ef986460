"""Run directory on disk: cells with one file per finished batch, so that a kill loses at most the batch in flight."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vauban.core.errors import ContractError
from vauban.store import files
from vauban.store.cell_notes import stored_findings
from vauban.store.cell_store import CellStore
from vauban.store.ledger import write_noted_json

log = logging.getLogger("vauban.store")
KEY = r"[A-Za-z0-9_-]+"
"""The content hash of a cell, the name of its folder."""


@dataclass(frozen=True)
class Store:
    """A run directory `path`: `study.json`, `findings.json`, `cells/<hash>/`, `images/<hash>/`, `report.html`."""

    path: Path

    def __init__(self, path: Path | str) -> None:
        object.__setattr__(self, "path", Path(path))

    def cell(self, key: str) -> CellStore:
        """The cell with a content hash; its folder appears with `create`.

        Args:
            key: The hash: letters, digits, `-` and `_`.

        Raises:
            ContractError: The hash has other characters, and could leave the run directory.
        """
        if not re.fullmatch(KEY, key):
            raise ContractError(f"cell hash: expected letters and digits, got {key!r}; pass the hash of the plan")
        return CellStore(self.path / "cells" / key)

    def cells(self) -> list[CellStore]:
        """Every created cell, in the order of the hashes."""
        folders = sorted(path for path in self.path.glob("cells/*") if not path.name.startswith("."))
        if (self.path / "cells").is_symlink():
            log.warning("%s is a symbolic link; ignored", self.path / "cells")
            return []
        own = [path for path in folders if re.fullmatch(KEY, path.name) and path.is_dir() and not path.is_symlink()]
        for path in folders:
            if path not in own:
                log.warning("%s is no cell of this run; ignored", path)
        return [CellStore(path) for path in own if (path / "cell.json").is_file()]

    def study(self) -> dict[str, Any]:
        """The plan, {} before it is written."""
        path = self.path / "study.json"
        return files.read_facts(path) if path.exists() else {}

    def write_study(self, plan: Mapping[str, Any]) -> None:
        """Replace the plan atomically."""
        write_noted_json(self.path, "study.json", dict(plan))

    def findings(self) -> list[dict[str, Any]]:
        """Findings that compare cells: those of `CellStore.findings` with `about`, a cell's hash or a label."""
        return stored_findings(self.path / "findings.json")

    def write_findings(self, findings: list[dict[str, Any]]) -> None:
        """Replace the findings that compare cells."""
        write_noted_json(self.path, "findings.json", findings)

    def images(self, key: str) -> Path:
        """Folder of the saved PNG images of a cell."""
        return self.path / "images" / key
