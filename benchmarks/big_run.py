"""Time and memory of `vauban status`, `table` and `report` on a run of a million rows: `python -m benchmarks.big_run`.

The rows are drawn, written part by part as an evaluation writes them, and put into one file for each cell. Each command
is a process of its own; its peak resident memory is the one that the system has counted.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.tables import publish, table
from vauban.store.cell_store import CellStore
from vauban.store.parquet import Store

Columns = dict[str, Any]
ATTACKS = ("fgsm", "pgd", "apgd", "square", "ddn")
COMMANDS = (("status",), ("table",), ("table", "--format", "csv"), ("report",))


@dataclass(frozen=True)
class Plan:
    """How large the run is.

    Attributes:
        cells: Number of cells: five attacks against as many networks as that takes.
        rows: Rows of a cell.
        part: Rows of a part.
    """

    cells: int
    rows: int
    part: int


def rows_of(ids: np.ndarray[Any, Any], hardness: np.ndarray[Any, Any], strength: float) -> Columns:
    """The columns of a batch: an image is broken where its hardness is below the strength of the attack."""
    n, own = len(ids), hardness[ids] / strength
    success = own < 1
    distance = np.where(success, own * 8 / 255, np.inf)
    correct = (hardness[ids] > 0.05).astype(float)
    y = ids % 10
    steps = np.minimum(np.ceil(own * 20), 40).astype(np.int64)
    return {
        "id": ids,
        "y": y,
        "clean_label": np.where(correct > 0, y, (y + 1) % 10),
        "clean_correct": correct,
        "clean_confidence": np.clip(hardness[ids], 0.1, 1.0),
        "adv_label": np.where(success, (y + 1) % 10, y),
        "adv_confidence": np.full(n, 0.5),
        "misclassified": success.astype(float),
        "reached": success.astype(float),
        "success": success,
        "l0": np.where(success, 3072.0, np.inf),
        "l1": distance * 2700,
        "l2": distance * 50,
        "linf": distance,
        "raw_success": success,
        "raw_l2": distance * 49,
        "raw_linf": distance,
        "forwards": steps + 1,
        "backwards": steps,
        "switches": np.zeros(n, np.int64),
        "vanished": np.zeros(n, np.int64),
        "ssim": [None if not hit else 0.9 for hit in success],
        "psnr_db": [None if not hit else 35.0 for hit in success],
        "nonfinite_gradients": np.zeros(n, np.int64),
        "clean_not_finite": np.zeros(n),
        "not_finite": np.zeros(n),
    }


def facts(plan: Plan, network: int, attack: str) -> dict[str, Any]:
    """The facts of a cell."""
    return {
        "model": f"network-{network}",
        "defence": "none",
        "data": f"cifar10/test[:{plan.rows}]",
        "threat": "white-box",
        "attack": attack,
        "goal": "untargeted",
        "norm": "linf",
        "eps": 8 / 255,
        "levels": 256,
        "classes": 10,
        "seed": 0,
        "batch_size": plan.part,
        "n": plan.rows,
        "dtype": "float32",
        "device": "cpu",
        "params": {"attack": {"eps": 8 / 255}, "threat": {}, "defence": []},
        "sources": {},
        "clean_only": False,
        "stages": [],
        "needs": "gradients",
        "one_step": attack == "fgsm",
    }


def build(folder: Path, plan: Plan, compacted: bool = True) -> Store:
    """Write the run through the store's own writer."""
    store = Store(folder)
    keys = [f"{number:016x}" for number in range(plan.cells)]
    for number, key in enumerate(keys):
        network, attack = divmod(number, len(ATTACKS))
        hardness = np.random.default_rng(network).gamma(2.0, 0.5, plan.rows)
        cell = store.cell(key)
        cell.create(facts(plan, network, ATTACKS[attack]))
        _fill(cell, plan, hardness, 0.6 + 0.2 * attack)
        cell.write_findings([])
        if compacted:
            cell.compact()
    store.write_study({"cells": keys, "command": ["vauban", "evaluate"], "n": plan.rows})
    return store


def _fill(cell: CellStore, plan: Plan, hardness: np.ndarray[Any, Any], strength: float) -> None:
    for index, first in enumerate(range(0, plan.rows, plan.part)):
        ids = np.arange(first, min(first + plan.part, plan.rows))
        cell.append(index, rows_of(ids, hardness, strength), seconds=1.0)


def measured(folder: Path, command: tuple[str, ...]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak resident MiB of a command on a run directory."""
    words = [sys.executable, "-m", "vauban", command[0], str(folder), *command[1:]]
    began = time.perf_counter()
    child = os.posix_spawn(
        words[0], words, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    )
    _, status, used = os.wait4(child, 0)
    if status:
        raise SystemExit(f"vauban {' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--rows", type=int, default=50_000, help="rows of a cell")
    parser.add_argument("--part", type=int, default=100, help="rows of a part")
    parser.add_argument("--keep-parts", action="store_true", help="leave the parts as they are")
    parser.add_argument("--at", type=Path, help="folder of the run, which is kept and read again")
    parser.add_argument("--write", type=Path, help="file whose section is replaced")
    given = parser.parse_args()
    plan = Plan(given.cells, given.rows, given.part)
    with TemporaryDirectory() as scratch:
        folder = given.at or Path(scratch) / "run"
        if not (folder / "study.json").exists():
            build(folder, plan, not given.keep_parts)
        rows = [[" ".join(command), *measured(folder, command)] for command in COMMANDS]
        page = (folder / "report.html").stat().st_size / 2**20
        size = sum(path.stat().st_size for path in folder.rglob("*.parquet")) / 2**20
    shown = [[name, f"{wall:.1f}", f"{cpu:.1f}", f"{memory:.0f}"] for name, wall, cpu, memory in rows]
    text = table(("vauban", "seconds", "CPU seconds", "peak MiB"), shown)
    machine = (
        f"{plan.cells} cells of {plan.rows:,} rows written in parts of {plan.part}, {size:.0f} MiB on disk, a page of "
        f"{page:.1f} MiB; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    publish("big_run", text, machine, given.write)


if __name__ == "__main__":
    main()
