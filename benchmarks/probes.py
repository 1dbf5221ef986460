"""False alarms of the threat `auto` on sound networks: `python -m benchmarks.probes --cell MODEL mnist/test linf:0.1 ...`.

A cell is a network, images and a radius. For each: how many of the images that a pilot left standing each probe speaks of,
what is seen, and the processor seconds of the look. In the end the share of cells in which anything is seen, with its
95 % interval (Wilson), and how many images the probes that came nearest to speaking saw.
"""

from __future__ import annotations

import time

import vauban as vb
from benchmarks import setting
from benchmarks.tables import publish, table
from vauban import L2, Linf
from vauban.evaluate.adaptation.expand import images_of
from vauban.evaluate.adaptation.search import look
from vauban.statistics.intervals import wilson

NORMS = {"linf": Linf, "l2": L2}


def cell(model: str, data: str, norm: str, radius: float, root: str | None) -> tuple[list[object], bool]:
    """A row of the table, and whether anything is seen."""
    network, images = vb.models.load(model).eval(), vb.data.load(data, root=root)
    began = time.process_time()
    seen = look(network, images_of(images, "cpu"), NORMS[norm](radius))
    told = [f"{measured.count} of {measured.of}" for measured in seen.measured] or ["none stood"] * 3
    name = model.partition("weights=")[2].rpartition("/")[2].removesuffix(".safetensors") or model
    row = [name, f"{norm} {radius:.4g}", *told, "; ".join(seen.seen) or "nothing", f"{time.process_time() - began:.1f}"]
    return row, bool(seen.seen)


def main() -> None:
    parser = setting.arguments("False alarms of the threat auto on sound networks.")
    parser.add_argument(
        "--cell",
        nargs="+",
        action="append",
        required=True,
        metavar="WORD",
        help="model, data, then radii: linf:0.1 l2:1",
    )
    options = setting.read(parser)
    rows: list[list[object]] = []
    alarms = 0
    for model, data, *radii in options.cell:
        for text in radii:
            norm, _, value = text.partition(":")
            top, _, below = value.partition("/")
            row, alarm = cell(model, data, norm, float(top) / float(below or 1), options.data_root)
            rows.append(row)
            alarms += alarm
    head = ["network", "radius", "explains little", "mismatch at scale", "unsound off the image", "seen", "CPU s"]
    low, high = wilson(alarms, len(rows))
    text = table(head, rows) + f"\n\nAlarms in {alarms} of {len(rows)} cells, 95 % interval {low:.1%} to {high:.1%}."
    publish("probes", text, setting.machine(), options.write)


if __name__ == "__main__":
    main()
