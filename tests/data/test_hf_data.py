"""Hugging Face data sets: the same samples from Parquet, saved Arrow and image folders; one line for a mistake."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from vauban import data
from vauban.core.errors import MissingExtra, VaubanError

pytestmark = pytest.mark.slow  # the package takes a second to import
datasets = pytest.importorskip("datasets")
GREYS = np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)
LABELS = [2, 0, 1, 2, 0, 1]


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def cells(pixels: list[np.ndarray]) -> list[dict[str, object]]:
    return [{"bytes": png(image), "path": None} for image in pixels]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the library makes of Parquet goes into the test's folder."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True, raising=False)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Parquet that the library has not written: it says nothing of images and classes."""
    (tmp_path / "plain").mkdir()
    table = pa.table({"image": cells(list(GREYS)), "label": LABELS})
    pq.write_table(table, tmp_path / "plain" / "test-00000-of-00001.parquet")
    return tmp_path / "plain"


def named(pixels: list[np.ndarray], image: str = "img", label: str = "fine") -> object:
    features = {image: datasets.Image(), label: datasets.ClassLabel(names=["ant", "bee", "cow"])}
    columns = {image: cells(pixels), label: LABELS[: len(pixels)]}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def fails(word: str, *says: str) -> None:
    with pytest.raises(VaubanError) as caught:
        print(data.load(word).fingerprint)
    assert "\n" not in str(caught.value)
    for part in says:
        assert part in str(caught.value)


def test_pixels_labels_ids_and_identity_are_those_of_the_content(plain: Path, tmp_path: Path) -> None:
    read = data.load(f"hf:path={plain},split=test")
    assert torch.equal(read.all().x * 255, torch.from_numpy(GREYS)[:, None].float())
    assert read.y.tolist() == LABELS
    assert read.class_names == ("0", "1", "2")
    assert read.known_classes is None  # numbers alone do not say how many classes there are
    part = data.load(f"hf:path={plain},split=test,image=image,label=label[1::2]")
    assert part.all().ids.tolist() == [1, 3, 5]
    assert torch.equal(part.all().x, read.all().x[1::2])

    stored = named(list(GREYS))
    stored.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict(test=stored, train=stored).save_to_disk(str(tmp_path / "two"))
    (tmp_path / "own").mkdir()
    stored.to_parquet(str(tmp_path / "own" / "test.parquet"))
    prints = set()
    for folder in ("one", "two", "own"):
        again = data.load(f"hf/test:path={tmp_path / folder}")
        assert (again.class_names, again.known_classes) == (("ant", "bee", "cow"), 3)
        prints.add(again.fingerprint)
    assert prints == {read.fingerprint}  # not of names, columns or layout
    fails(f"hf:path={tmp_path / 'two'},split=val", "test, train", "'val'")


def test_colours_greys_and_image_folders(tmp_path: Path) -> None:
    colours = np.stack([GREYS, GREYS[::-1], GREYS], -1)
    named([GREYS[0], colours[1]]).save_to_disk(str(tmp_path / "mixed"))
    mixed = data.load(f"hf:path={tmp_path / 'mixed'}").all().x * 255
    assert torch.equal(mixed[0], torch.from_numpy(GREYS[0]).float().expand(3, 8, 8))
    assert torch.equal(mixed[1], torch.from_numpy(colours[1]).permute(2, 0, 1).float())
    assert data.load(f"hf:path={tmp_path / 'mixed'},grey=true").shape == (1, 8, 8)
    for name, image in (("ant", colours[0]), ("bee", colours[1])):
        (tmp_path / "photos" / "test" / name).mkdir(parents=True)
        (tmp_path / "photos" / "test" / name / "0.png").write_bytes(png(image))
    photos = data.load(f"hf:path={tmp_path / 'photos'}")
    assert photos.class_names == ("ant", "bee")
    assert torch.equal(photos.all().x * 255, torch.from_numpy(colours[:2]).permute(0, 3, 1, 2).float())
    folder = data.load(f"folder/test:path={tmp_path / 'photos'}")
    assert photos.fingerprint == folder.fingerprint


def test_a_mistake_is_one_line(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named([GREYS[0], GREYS[1][:5], GREYS[2]]).save_to_disk(str(tmp_path / "sizes"))
    fails(f"hf:path={tmp_path / 'sizes'}", "one size", "(5, 8) for img 1", "(8, 8)", "crop=")
    fails(f"hf:path={tmp_path / 'sizes'},size=9", "(9, 14) for img 1", "(9, 9)")
    assert data.load(f"hf:path={tmp_path / 'sizes'},size=9,crop=9").fingerprint
    fails(f"hf:path={plain},split=train", "'train'", "test")
    fails(f"hf:path={plain},image=label", "encoded images", "label")
    fails(f"hf:path={plain},image=picture", "image, label", "image=picture")
    fails(f"hf:path={plain},label=image", "whole numbers from 0", "image")
    fails(f"hf:path={plain},label=class", "image, label", "label=class")
    (tmp_path / "empty").mkdir()
    fails(f"hf:path={tmp_path / 'empty'}", "empty", "data files")
    fails("hf:path=nobody/nothing", "--download", "nobody/nothing")
    unlabelled = named(list(GREYS)).remove_columns("fine")
    unlabelled.save_to_disk(str(tmp_path / "unlabelled"))
    fails(f"hf:path={tmp_path / 'unlabelled'}", "no labels", "labels='own'")
    assert data.load(f"hf:path={tmp_path / 'unlabelled'}", labels="own").labels_from == "own"
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"vauban\[datasets\]"):
        data.load(f"hf:path={plain}")
