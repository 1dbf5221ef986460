"""Planted tests of sound attacks on sound networks: `python -m benchmarks.planted --cell MODEL mnist/test[:12] ATTACK ...`.

A cell is a network, images and an attack that is known to work: `pgd:eps=0.1,steps=40`, with a goal before a bar
(`random-wrong|pgd:eps=0.1`) and, for one without a budget, the ball behind an at sign (`ddn:steps=40@l2:1.5`). For each:
how many images could be planted, how many of them the attack found, the share of random points that are adversarial, and
the processor seconds. In the end the share of cells in which the test speaks although the attack works, with its 95 %
interval (Wilson).
"""

from __future__ import annotations

import time

import vauban as vb
from benchmarks import setting
from benchmarks.tables import publish, table
from vauban import L1, L2, Linf
from vauban.evaluate.planted.outcome import MISSED, SILENCE
from vauban.statistics.intervals import wilson

NORMS = {"linf": Linf, "l2": L2, "l1": L1}


def cell(model: str, data: str, text: str, root: str | None) -> tuple[list[object], str]:
    """A row of the table, and the code of what the test says; "" where it is silent."""
    network, images = vb.models.load(model).eval(), vb.data.load(data, root=root)
    aim, _, rest = text.rpartition("|")
    attack, _, place = rest.partition("@")
    norm, _, radius = place.partition(":")
    ball = NORMS[norm](float(radius)) if place else None
    began = time.process_time()
    test = vb.verify_attack(attack, network, images, goal=aim or "untargeted", ball=ball)
    seconds = time.process_time() - began
    said = test.finding
    code = "" if said.severity == "info" and said.code != SILENCE else said.code
    name = model.partition("weights=")[2].rpartition("/")[2].removesuffix(".safetensors") or model.rpartition("/")[2]
    found = f"{test.recovered} of {test.planted}"
    return [name, text, found, f"{test.random:.1%}", code or "silent", f"{seconds:.1f}"], code


def main() -> None:
    parser = setting.arguments("Planted tests of attacks that work, on sound networks.")
    parser.add_argument(
        "--cell", nargs="+", action="append", required=True, metavar="WORD", help="model, data, then attacks"
    )
    options = setting.read(parser)
    rows: list[list[object]] = []
    codes: list[str] = []
    for model, data, *attacks in options.cell:
        for text in attacks:
            row, code = cell(model, data, text, options.data_root)
            print(*row, sep=" | ", flush=True)
            rows.append(row)
            codes.append(code)
    head = ["network", "attack", "found", "random points", "says", "CPU s"]
    applied, missed = len(codes) - codes.count(SILENCE), codes.count(MISSED)
    low, high = wilson(missed, applied)
    speaks = f"speaks in {missed} of them, 95 % interval {low:.1%} to {high:.1%}."
    text = f"{table(head, rows)}\n\nThe test applies in {applied} of {len(rows)} cells and {speaks}"
    publish("planted", text, setting.machine(), options.write)


if __name__ == "__main__":
    main()
