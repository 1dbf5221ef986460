"""The pictures of a reproduction: originals, saved images, and what was changed, for a few crafts or the worst cases."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from vauban.core.errors import plural
from vauban.core.pictures import png
from vauban.evaluate.magnified import grey
from vauban.metrics import mad, magnify
from vauban.reproduce.crafting import reload
from vauban.reproduce.declarations import TableCell
from vauban.reproduce.figures import ComputedPicture, FirstImages, NetworkPictures, WorstCases
from vauban.reproduce.jobs import CraftJob
from vauban.reproduce.judged import Array, Attained, Judged
from vauban.reproduce.plan import Plan

MOST = 6  # crafts that are shown
SHOWN = 4  # images of each
SIDE = 96  # pixels that small images are enlarged to, by a whole factor


def pictures(work: Plan, cells: Sequence[TableCell], rows: Sequence[Judged | None]) -> list[dict[str, str]]:
    """Title, caption and PNG (base64) of the first crafts: the first images of each, one column per image.

    Args:
        work: The plan.
        cells: The first of those that it was made for.
        rows: What each cell of the plan was judged to be; of one that did not finish, nothing is shown.
    """
    finished = [
        (planned.crafts[0][0], cell)
        for planned, cell, judged in zip(work.cells, cells, rows, strict=False)
        if judged is not None
    ]
    crafts = {job.key: (job, cell) for job, cell in finished if job is not None}
    return [_picture(work, job, cell) for job, cell in list(crafts.values())[:MOST]]


def _picture(work: Plan, job: CraftJob, cell: TableCell) -> dict[str, str]:
    saved = reload(job.part(0)["image"].to_pylist()[:SHOWN])
    clean = work.context.data.take(len(saved)).x
    change = saved - clean
    largest = float(change.abs().max())
    craft = job.images.craft
    assert craft is not None
    sources = ", ".join(dict.fromkeys(t.network for t in craft.through))
    return {
        "title": cell.label or f"{type(craft.attack).__name__} on {sources}",
        "caption": f"{type(craft.attack).__name__} on {sources}, {'targeted' if craft.targeted else 'untargeted'}. "
        f"Top: the originals. Middle: the saved images. Bottom: the change, grey for none, black and white for "
        f"{largest * 255:.3g}/255.",
        "png": _encoded(montage([clean, saved, magnified(change)])),
    }


def worst(
    panel: WorstCases, work: Plan, reached: Mapping[str, Attained], made: Mapping[str, Sequence[CraftJob]]
) -> dict[str, str]:
    """The original of each image in the first row, then for each attack its image and its change; of the first seed.

    reached, made: by attack, what it attained and the images of its runs.
    """
    by = reached[panel.by]
    fooled = np.flatnonzero(by.fooled[0])
    columns = fooled[np.argsort(-by.distance[0][fooled], kind="stable")][: panel.count]
    index = torch.from_numpy(by.index[columns])
    if not len(index):
        return {"title": panel.title, "caption": f"{panel.by} fools no image.", "png": _encoded(torch.zeros(1, 8, 8))}
    clean = work.context.data.batch(index).x
    rows, told = [clean, grey(magnify(clean))] if panel.magnified else [clean], []
    for name, one in reached.items():
        chosen = one.run[0][columns]
        image = torch.stack([_saved(work, made[name][k], int(i)) for k, i in zip(chosen, index, strict=True)])
        beside = grey(magnify(image)) if panel.magnified else torch.cat([magnified(c[None]) for c in image - clean])
        rows += [image, beside]
        told.append(f"{name}: {_sizes(one.distance[0][columns], mad(clean, image).tolist())}")
    shown = "changes, grey for none, black and white for the largest of each image"
    if panel.magnified:
        shown = "same magnified (grey: 0), as below the originals"
    caption = (
        f"The images on which {panel.by} is farthest. First row: the originals; then, for each attack, its images and the "
        f"{shown}. L2 distances (MAD): {'; '.join(told)}."
    )
    return {"title": panel.title, "caption": caption, "png": _encoded(montage(rows))}


def first_images(panel: FirstImages, work: Plan, made: Mapping[str, tuple[CraftJob, Judged]]) -> dict[str, str]:
    """The first originals, and a row for each craft.

    Args:
        panel: What is shown.
        work: The plan.
        made: By name, the images of a craft with the first seed and what was judged.
    """
    rows, told = [work.context.data.take(panel.count).x], []
    for name, (job, judged) in made.items():
        image = torch.stack([_saved(work, job, i) for i in range(len(rows[0]))])
        rows.append(image)
        table = judged.runs[0][0].slice(0, len(image))
        fooled = table["label"].to_numpy() != table["y"].to_numpy()
        size = table["l2"].to_numpy()[fooled]
        mean = f", at a mean L2 distance of {size.mean():.3g}" if len(size) else ""
        told.append(f"{name}: {int(fooled.sum())} of {plural(len(image), 'image')} fooled{mean}")
    caption = f"Top: the originals. Below, from top to bottom: {'; '.join(told)}."
    return {"title": panel.title, "caption": caption, "png": _encoded(montage(rows))}


def of_networks(panel: NetworkPictures, work: Plan, right: Judged, made: Mapping[str, CraftJob]) -> dict[str, str]:
    """What a panel draws from its networks.

    Args:
        panel: What is drawn.
        work: The plan.
        right: What its judge answers on the originals.
        made: The jobs of its crafts by name.
    """
    table = right.runs[0][0]
    hits = np.flatnonzero(table["label"].to_numpy() == table["y"].to_numpy())
    index = hits[panel.first : panel.first + panel.count]
    if not len(index):
        caption = f"The judge labels {plural(len(hits), 'image')} right, which leaves none to show."
        return {"title": panel.title, "caption": caption, "png": _encoded(torch.zeros(1, 8, 8))}
    context = work.context
    saved = {name: torch.stack([_saved(work, job, int(i)) for i in index]) for name, job in made.items()}
    batch, _ = context.batch(torch.from_numpy(index))
    shown = {name: image.to(batch.x) for name, image in saved.items()}
    image, caption = panel.draw({role: context.networks[role] for role in panel.roles}, batch, shown)
    return {"title": panel.title, "caption": caption, "png": _encoded(image)}


def computed(panel: ComputedPicture) -> dict[str, str]:
    """A computed picture."""
    image, caption = panel.draw()
    return {"title": panel.title, "caption": caption, "png": _encoded(image)}


def _sizes(distance: Array, seen: Sequence[float]) -> str:
    pairs = zip(distance, seen, strict=True)
    return ", ".join(f"{d:.3g} ({m:.3g})" if np.isfinite(d) else "not fooled" for d, m in pairs)


def _saved(work: Plan, job: CraftJob, position: int) -> Tensor:
    part, offset = divmod(position, work.context.batch_size)
    return reload(job.part(part)["image"].to_pylist()[offset : offset + 1])[0]


def magnified(change: Tensor) -> Tensor:
    """A change as an image: grey for none, black and white for the largest of the batch."""
    return 0.5 + change / (2 * float(change.abs().max()) or 1.0)


def montage(rows: Sequence[Tensor]) -> Tensor:
    """Batches of images `(batch, channel, height, width)` as the rows of one image, small ones enlarged."""
    factor = max(1, SIDE // rows[0].shape[2])
    lines = [torch.cat(list(batch), dim=2) for batch in rows]
    return torch.cat(lines, dim=1).repeat_interleave(factor, 1).repeat_interleave(factor, 2)


def _encoded(image: Tensor) -> str:
    return base64.b64encode(png(image)).decode()
