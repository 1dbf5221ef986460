"""The competition's folder: labels counted from 1 become labels counted from 0, targets follow slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vauban import data
from vauban.core.errors import ContractError

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 299, 299, 3), dtype=np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "nips2017" / "images"
    folder.mkdir(parents=True)
    for k, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(folder / f"image{k}.png")
    rows = "ImageId,URL,TrueLabel,TargetClass\nimage0,u,1,1000\nimage1,u,6,7\nimage2,u,1000,2\n"
    (tmp_path / "nips2017" / "images.csv").write_text(rows)
    return tmp_path


def test_labels_targets_and_pixels(root: Path) -> None:
    found = data.load("nips2017", root=root)
    assert found.targets is not None
    assert (found.y.tolist(), found.targets.tolist(), found.classes) == ([0, 5, 999], [999, 6, 1], 1000)
    assert torch.equal((found.all().x * 255).round().to(torch.uint8), torch.tensor(PIXELS).permute(0, 3, 1, 2))


def test_targets_follow_a_slice_and_are_part_of_the_fingerprint(root: Path) -> None:
    whole = data.load("nips2017", root=root)
    part = data.load("nips2017/dev[1:]", root=root)
    assert part.targets is not None
    assert part.targets.tolist() == [6, 1]
    table = root / "nips2017" / "images.csv"
    table.write_text(table.read_text().replace("6,7", "6,8"))
    assert data.load("nips2017", root=root).fingerprint != whole.fingerprint


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("6,7", "0,7", "labels from 1 to 1000"),
        ("6,7", "6,1001", "labels from 1 to 1000"),
        ("TrueLabel", "Label", "columns"),
        ("image1", "image9", "image9.png"),
    ],
)
def test_a_wrong_table(root: Path, old: str, new: str, told: str) -> None:
    table = root / "nips2017" / "images.csv"
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(ContractError, match=told):
        data.load("nips2017", root=root)


def test_another_size_and_no_folder(root: Path, tmp_path: Path) -> None:
    Image.fromarray(PIXELS[0][:, :100]).save(root / "nips2017" / "images" / "image0.png")
    with pytest.raises(ContractError, match="299x299"):
        data.load("nips2017", root=root)
    with pytest.raises(data.MissingData, match=r"images\.csv"):
        data.load("nips2017", root=tmp_path / "elsewhere")
