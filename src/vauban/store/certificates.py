"""Certificates of a run directory: `certificates/<hash>/` with their facts and one Parquet file per finished batch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vauban.core.errors import ContractError
from vauban.store import files
from vauban.store.part_folder import PartFolder
from vauban.store.schema import to_numpy
from vauban.store.sources import changed

log = logging.getLogger("vauban.store")
FACTS = "certificate.json"

# `label` is the answer on the image, -1 where it is withheld; `certified` the class that is certified, -1 for none, and
# `radius` the L-p radius, 0 for none. `votes` and `p_low` are of randomised smoothing. `wrong_at` is the distance of the
# nearest attacked image at which the answer is not y, withheld answers included, 0 where that is so of the image itself and
# inf where there is none; `other_at` that of the nearest at which a class other than the certified one is answered. Null
# where nothing was attacked.
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("y", pa.int64(), nullable=False),
        pa.field("label", pa.int64(), nullable=False),
        pa.field("certified", pa.int64(), nullable=False),
        pa.field("radius", pa.float64(), nullable=False),
        pa.field("votes", pa.int64()),
        pa.field("p_low", pa.float64()),
        pa.field("wrong_at", pa.float64()),
        pa.field("other_at", pa.float64()),
    ]
)


def folder_of(run: Path | str, key: str) -> PartFolder:
    """The folder of a certificate's rows in a run directory."""
    return PartFolder(Path(run) / "certificates" / key, SCHEMA)


def write_facts(folder: PartFolder, meta: Mapping[str, Any]) -> None:
    """Write the facts of a certificate unless they are there."""
    if not (folder.path / FACTS).exists():
        now = datetime.now(UTC).isoformat(timespec="seconds")
        files.write_json(folder.path / FACTS, {"created": now, "hash": folder.path.name, **meta})


@dataclass(frozen=True)
class CertificateRows:
    """A certificate as read.

    Attributes:
        meta: Its facts: certificate, claim, norm, alpha, alpha_answer, model, defence, data, attacks, n, settings.
        columns: Arrays `(rows,)` in the order of the batches.
        complete: Whether all `meta["n"]` samples are there.
        changed: Source files that differ from those which made the rows.
        failures: The last failure of each batch that has no rows.
    """

    meta: dict[str, Any]
    columns: dict[str, np.ndarray[Any, Any]]
    complete: bool
    changed: tuple[str, ...] = ()
    failures: tuple[Mapping[str, Any], ...] = ()


def read_certificates(run: Path | str) -> list[CertificateRows]:
    """Every certificate of a run directory, in the order of the hashes; damaged facts leave one out, with a warning."""
    top = Path(run) / "certificates"
    if top.is_symlink():
        log.warning("%s is a symbolic link; ignored", top)
        return []
    read = []
    for path in sorted(path for path in top.glob("*") if (path / FACTS).is_file() and not path.is_symlink()):
        try:
            read.append(read_certificate(folder_of(run, path.name)))
        except ContractError as error:
            log.warning("%s is left out: %s", path, error)
    return read


def read_certificate(folder: PartFolder) -> CertificateRows:
    """The facts and rows of one certificate. Raises ContractError where the facts are damaged."""
    meta = files.read_facts(folder.path / FACTS)
    needed = {"certificate", "claim", "norm", "model", "defence", "data", "n"}
    if absent := sorted(needed - set(meta)):
        raise ContractError(f"{folder.path / FACTS}: expected {', '.join(absent)}, got none; delete it and run again")
    indices = sorted(int(path.stem) for path in folder.path.glob("[0-9]*.parquet"))
    parts = {index: rows for index in indices if (rows := folder.read(index)) is not None}
    rows = pa.concat_tables(list(parts.values())) if parts else SCHEMA.empty_table()
    failed = {line["index"]: line for line in files.read_lines(folder.path / "failures.jsonl") if "index" in line}
    return CertificateRows(
        meta,
        to_numpy(rows),
        complete=len(np.unique(rows["id"].to_numpy())) == int(meta["n"]),
        changed=tuple(changed(meta.get("sources", {}))),
        failures=tuple(line for index, line in sorted(failed.items()) if index not in parts),
    )
