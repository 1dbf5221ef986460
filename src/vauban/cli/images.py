"""Images that somebody else made: `vauban verify|magnify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from vauban.cli.options import DebugOption, RootOption


def verify(
    model: Annotated[str, typer.Option(help="Model: a name, a weights file or file.py:name.")],
    data: Annotated[str, typer.Option(help="The originals, in the order of the images.")],
    adv: Annotated[Path, typer.Option(help="Adversarial images: npz, npy, pt, or a folder of <id>.png.")],
    budget: Annotated[str, typer.Option(help="e.g. linf:8/255.")],
    defence: Annotated[str, typer.Option(help="A defence in front of the model.")] = "none",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data_root: RootOption = None,
    debug: DebugOption = False,
) -> None:
    """Judge adversarial images that somebody else made: in budget, in range, on the lattice, success after reload."""
    from vauban import data as datasets
    from vauban import defences, models
    from vauban.evaluate.verify import verify as judge

    defended = defences.load(defence).wrap(models.load(model))
    found = judge(defended, datasets.load(data, root=data_root), adv, budget).as_dict()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        typer.echo(f"{name.replace('_', ' '):>18}  {value if isinstance(value, int) else format(value, '.4f')}")
