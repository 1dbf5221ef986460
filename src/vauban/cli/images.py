"""Commands on image files: `vauban verify|magnify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from vauban.cli.options import DebugOption, DownloadOption, RejectsOption, RootOption, number_of, output_path
from vauban.core.errors import VaubanError


def verify(
    model: Annotated[str, typer.Option(help="Model: a name, a weights file or file.py:name.")],
    data: Annotated[str, typer.Option(help="The originals, in the order of the images.")],
    adv: Annotated[Path, typer.Option(help="Adversarial images: npz, npy, pt, or a folder of <id>.png.")],
    budget: Annotated[str, typer.Option(help="e.g. linf:8/255.")],
    defence: Annotated[str, typer.Option(help="A defence in front of the model.")] = "none",
    rejects: RejectsOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for a page and a file with a line per image.")] = None,
    data_root: RootOption = None,
    download: DownloadOption = False,
    debug: DebugOption = False,
) -> None:
    """Judge adversarial images that somebody else made.

    In budget, in range, on the pixel grid, successful after reload?
    """
    from vauban import words
    from vauban.evaluate.verify import verify as judge

    defended = words.load("defence", defence).wrap(words.load("model", model, rejects=rejects))
    verdict = judge(defended, words.load("data", data, root=data_root, download=download), adv, budget)
    page = None if out is None else verdict.write(out)
    if as_json:
        typer.echo(json.dumps(verdict.as_dict(), indent=2))
        return
    for name, value in verdict.as_dict().items():
        if value is not None:
            typer.echo(f"{name.replace('_', ' '):>22}  {format(value, '.4f') if isinstance(value, float) else value}")
    for sentence in verdict.sentences():
        typer.echo(f"{sentence}")
    if page is not None:
        typer.echo(f"report: {page}")


def magnify(
    image: Annotated[list[Path], typer.Argument(help="8-bit grey or RGB image files.")],
    out: Annotated[
        Path | None, typer.Option(parser=output_path, help="PNG to write; else IMAGE-magnified.png beside the first.")
    ] = None,
    original: Annotated[Path | None, typer.Option(help="The image that they were made from.")] = None,
    beta: Annotated[float, typer.Option(help="Weight of local against overall contrast, from 0 to 1.")] = 0.8,
    sigma_domain: Annotated[float, typer.Option(help="Width of the filter in pixels.")] = 5.0,
    sigma_range: Annotated[str, typer.Option(help="Width of the filter in pixel values, e.g. 5/255.")] = "5/255",
    debug: DebugOption = False,
) -> None:
    """Show each image against its own local contrast.

    Perturbations that the eye overlooks show in flat places.

    Mid grey is no structure. With --original, a row for each image: original, its magnification, the image, its
    magnification, and the difference of the two magnifications.
    """
    target = out or image[0].parent / f"{image[0].stem}-magnified.png"
    if target.suffix.lower() != ".png":
        raise VaubanError(f"expected --out as a PNG file, e.g. {target.with_suffix('.png')}, got {target}")
    if target.resolve() in {path.resolve() for path in (*image, original) if path is not None}:
        raise VaubanError(f"--out {target} is one of the images; choose another file")
    from vauban.store.files import check_output

    check_output(target)
    width = number_of("--sigma-range", sigma_range)
    from vauban.evaluate.magnified import magnified
    from vauban.store.files import write_bytes

    write_bytes(target, magnified(image, original, beta=beta, sigma_domain=sigma_domain, sigma_range=width))
    typer.echo(target)
