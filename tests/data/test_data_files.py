"""Data sets in files: IDX, CIFAR-10 in three layouts, image folders; what is wrong is said in one line with the file."""

import gzip
import hashlib
import io
import os
import pickle
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from vauban import data
from vauban.core.errors import ContractError
from vauban.data.mnist import read_idx

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def fails(spec: str, root, *says: str) -> None:
    with pytest.raises(ContractError) as caught:
        data.load(spec, root).all()
    message = str(caught.value)
    assert "\n" not in message
    for part in says:
        assert str(part) in message


# ---- MNIST layout


def write_mnist(root, labels, folder="MNIST", zipped=False):
    images = RNG.integers(0, 256, (len(labels), 28, 28), dtype=np.uint8)
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    for name, values in (("t10k-images-idx3-ubyte", images), ("t10k-labels-idx1-ubyte", np.array(labels, np.uint8))):
        content = idx(values)
        (raw / (name + ".gz" * zipped)).write_bytes(gzip.compress(content) if zipped else content)
    return images, raw


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files_are_read_plain_and_gzipped(tmp_path, monkeypatch, name, folder, zipped):
    images, _ = write_mnist(tmp_path, [3, 1, 4], folder, zipped)
    monkeypatch.setenv("VAUBAN_DATA", str(tmp_path))
    found = data.load(name).all()
    np.testing.assert_array_equal((found.x[:, 0] * 255).numpy(), images.astype(np.float32))
    assert found.y.tolist() == [3, 1, 4]
    assert data.load(name).classes == 10


def test_damaged_idx_files_are_named(tmp_path):
    _, raw = write_mnist(tmp_path, [3, 1, 4])
    images = raw / "t10k-images-idx3-ubyte"
    good = images.read_bytes()
    for bad in (good[:-1], good + b"x", b"\0\0\x0d\3" + good[4:], b"", b"no"):
        images.write_bytes(bad)
        fails("mnist", tmp_path, images, "IDX")
    images.write_bytes(good)
    (raw / "t10k-labels-idx1-ubyte").write_bytes(idx(np.array([3, 1], np.uint8)))
    fails("mnist", tmp_path, images, "(2,) labels")
    (raw / "t10k-labels-idx1-ubyte").write_bytes(idx(np.array([3, 1, 10], np.uint8)))
    fails("mnist", tmp_path, "t10k-labels-idx1-ubyte", "label 10")
    assert read_idx(images).shape == (3, 28, 28)


def test_a_wrong_root_says_which_layout_is_expected(tmp_path):
    for name, layout in (("mnist/train", "MNIST/raw/train-images"), ("cifar10", "cifar-10-batches-py")):
        with pytest.raises(data.MissingData, match=layout) as caught:
            data.load(name, tmp_path)
        assert str(tmp_path) in str(caught.value)
        assert "--data-root" in str(caught.value)


def test_downloads_happen_only_when_allowed(tmp_path, monkeypatch):
    from torchvision import datasets

    monkeypatch.setattr(datasets, "MNIST", lambda root, download: write_mnist(tmp_path, [1, 2]))
    with pytest.raises(data.MissingData, match="download=True"):
        data.load("mnist", tmp_path)
    assert data.load("mnist", tmp_path, download=True).y.tolist() == [1, 2]

    def broken(*args, **kwargs):
        raise OSError("no route")

    monkeypatch.setattr(datasets, "FashionMNIST", broken)
    with pytest.raises(ContractError, match="download of FashionMNIST failed: no route"):
        data.load("fashion-mnist", tmp_path, download=True)
    monkeypatch.setattr(
        datasets.utils, "download_and_extract_archive", lambda url, root, **_: write_batches(tmp_path, ["test_batch"])
    )
    assert len(data.load("cifar10", tmp_path, download=True)) == 6


# ---- CIFAR-10


def write_parquet(path, labels=(0, 1, 2, 3, 4, 9), column="img", images=None):
    images = [png(p) for p in PIXELS] if images is None else images
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"bytes": image, "path": f"{i}.png"} for i, image in enumerate(images)]
    pq.write_table(pa.table({column: rows, "label": pa.array(labels, pa.int64())}), path)
    return path


@pytest.mark.parametrize(
    "name",
    ["cifar10/test.parquet", "plain_text/test-00000-of-00001.parquet", "cifar10/data/test-00000-of-00001.parquet"],
)
def test_cifar10_from_parquet(tmp_path, name):
    write_parquet(tmp_path / name)
    found = data.load("cifar10", tmp_path)
    np.testing.assert_array_equal((found.all().x * 255).numpy(), PIXELS.transpose(0, 3, 1, 2).astype(np.float32))
    assert found.all().y.tolist() == [0, 1, 2, 3, 4, 9]
    assert found.class_names[9] == "truck"


def test_two_parquet_parts_are_one_split(tmp_path):
    write_parquet(tmp_path / "plain_text/test-00000-of-00002.parquet")
    write_parquet(tmp_path / "plain_text/test-00001-of-00002.parquet", images=[b"broken"] * 6)
    assert len(data.load("cifar10", tmp_path)) == 12
    assert len(data.load("cifar10[:6]", tmp_path).all()) == 6
    fails("cifar10", tmp_path, "row 0 of", "test-00001-of-00002.parquet", "not a readable image")


def write_batches(root, names):
    flat = PIXELS.transpose(0, 3, 1, 2).reshape(6, -1)
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in names:
        content = {b"data": flat, b"labels": [0, 1, 2, 3, 4, 9], b"batch_label": b"x", b"filenames": [b"a.png"] * 6}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    return folder


def test_cifar10_from_python_and_binary_batches(tmp_path):
    write_batches(tmp_path / "py", ["test_batch", *(f"data_batch_{i}" for i in range(1, 6))])
    test = data.load("cifar10/test", tmp_path / "py")
    np.testing.assert_array_equal((test.all().x * 255).numpy(), PIXELS.transpose(0, 3, 1, 2).astype(np.float32))
    assert len(data.load("cifar10/train", tmp_path / "py")) == 30
    old = tmp_path / "py" / "cifar-10-batches-py" / "test_batch"  # the published files name numpy's old module
    assert b"numpy._core" in old.read_bytes()
    old.write_bytes(old.read_bytes().replace(b"numpy._core", b"numpy.core"))
    assert data.load("cifar10/test", tmp_path / "py").fingerprint == test.fingerprint
    folder = tmp_path / "bin" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    records = np.concatenate(
        [np.array([[0, 1, 2, 3, 4, 9]], np.uint8).T, PIXELS.transpose(0, 3, 1, 2).reshape(6, -1)], 1
    )
    (folder / "test_batch.bin").write_bytes(records.tobytes())
    assert data.load("cifar10", tmp_path / "bin").fingerprint == test.fingerprint
    (folder / "test_batch.bin").write_bytes(records.tobytes()[:-1])
    fails("cifar10", tmp_path / "bin", folder / "test_batch.bin", "multiple of 3073")


class _Evil:
    def __reduce__(self):
        return os.mkdir, ("/nonexistent/vauban-was-here",)


def test_a_batch_that_would_run_code_is_refused(tmp_path):
    path = write_batches(tmp_path, ["test_batch"]) / "test_batch"
    path.write_bytes(pickle.dumps({b"data": _Evil(), b"labels": [0]}, protocol=2))
    fails("cifar10", tmp_path, path, "wants to construct", "mkdir")
    path.write_bytes(b"garbage")
    fails("cifar10", tmp_path, path, "not a CIFAR-10 batch")


def test_bad_parquet_files_are_named(tmp_path):
    path = tmp_path / "cifar10" / "test.parquet"
    write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    fails("cifar10", tmp_path, path, "parquet")
    write_parquet(path, column="picture")
    fails("cifar10", tmp_path, path, "columns img and label")
    write_parquet(path, labels=(0, 1, 2, 3, 4, 10))
    fails("cifar10", tmp_path, path, "labels from 0 to 10")
    write_parquet(path, labels=(0, 1, None, 3, 4, 5))
    fails("cifar10", tmp_path, path, "without a label")
    broken = [png(p) for p in PIXELS]
    broken[4] = broken[4][:200]
    write_parquet(path, images=broken)
    fails("cifar10", tmp_path, f"row 4 of {path}")
    fails("cifar10[::2]", tmp_path, f"row 4 of {path}")


# ---- folders


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_class_folders_in_alphabetical_order(tmp_path):
    for i, name in enumerate(["b/2.png", "a/1.png", "b/0.png", "c/x.png"]):
        save(tmp_path / name, PIXELS[i])
    (tmp_path / "b" / "notes.txt").write_text("not an image")
    found = data.load(f"folder:path={tmp_path}")
    assert found.class_names == ("a", "b", "c")
    assert found.all().y.tolist() == [0, 1, 1, 2]
    np.testing.assert_array_equal((found.all().x * 255).numpy(), PIXELS[[1, 2, 0, 3]].transpose(0, 3, 1, 2))


def test_indexed_files_with_a_class_list(tmp_path):
    for label in (0, 2, 1):
        save(tmp_path / "val" / f"000{label}_n0{label}_some_thing.png", PIXELS[label])
    index = tmp_path / "classes.csv"
    index.write_text("index,synset,name\n0,n00,tench\n1,n01,gold fish\n2,n02,shark\n")
    found = data.load(f"folder/val:path={tmp_path}")
    assert found.all().y.tolist() == [0, 1, 2]
    assert found.class_names == ("tench", "gold fish", "shark")
    index.write_text("index,name\n0,tench\n1,shark\n")
    fails(f"folder/val:path={tmp_path}", None, "0002_n02_some_thing.png", "class index 2")
    index.write_text("number,name\n0,tench\n")
    fails(f"folder/val:path={tmp_path}", None, index, "index,name")
    index.write_text("index,name\n0,tench\n2,shark\n")
    fails(f"folder/val:path={tmp_path}", None, index, "without a gap")
    save(tmp_path / "val" / "plain.png", PIXELS[0])
    index.write_text("index,name\n0,a\n1,b\n2,c\n")
    fails(f"folder/val:path={tmp_path}", None, "plain.png", "0002_name.jpg")


def test_unlabelled_folders_need_own_labels(tmp_path):
    save(tmp_path / "one.png", PIXELS[0])
    fails(f"folder:path={tmp_path}", None, "no labels", "labels='own'")
    found = data.load(f"folder:path={tmp_path}", labels="own")
    assert found.all().y.tolist() == [-1]


def test_crop_is_central_and_size_scales_the_shorter_side(tmp_path):
    wide = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    save(tmp_path / "a" / "1.png", wide)
    cropped = data.load(f"folder:path={tmp_path},crop=30").all().x
    np.testing.assert_array_equal((cropped[0] * 255).numpy(), wide[5:35, 15:45].transpose(2, 0, 1))
    assert data.load(f"folder:path={tmp_path},size=20").all().x.shape == (1, 3, 20, 30)
    scaled = data.load(f"folder:path={tmp_path},size=20,crop=16").all()
    assert scaled.x.shape == (1, 3, 16, 16)
    assert torch.equal(scaled.x * 255, (scaled.x * 255).round())
    assert data.load(f"folder:path={tmp_path},grey=true").all().x.shape == (1, 1, 40, 60)
    fails(f"folder:path={tmp_path},crop=50", None, "1.png is 60x40", "crop=50")
    fails(f"folder:path={tmp_path},crop=0", None, "whole number of at least 1")


def test_images_of_several_sizes_and_broken_ones_are_named(tmp_path):
    save(tmp_path / "a" / "1.png", PIXELS[0])
    save(tmp_path / "a" / "2.png", PIXELS[1][:20])
    fails(f"folder:path={tmp_path}", None, "2.png", "one size", "crop=")
    (tmp_path / "a" / "2.png").write_bytes(png(PIXELS[1])[:500])
    fails(f"folder:path={tmp_path}", None, "2.png is not a readable image")
    save(tmp_path / "a" / "2.png", PIXELS[1][..., 0].astype(np.uint16) * 256)
    fails(f"folder:path={tmp_path}", None, "8-bit pixels", "2.png", "I;16")
    (tmp_path / "a" / "2.png").write_bytes(b"")
    fails(f"folder:path={tmp_path}", None, "2.png is not a readable image")


def test_the_fingerprint_of_a_folder_ignores_its_place_but_not_the_crop(tmp_path):
    for root in ("here", "there"):
        save(tmp_path / root / "a" / "1.png", PIXELS[0])
    here = data.load(f"folder:path={tmp_path}/here").fingerprint
    assert here == data.load(f"folder:path={tmp_path}/there").fingerprint
    assert here != data.load(f"folder:path={tmp_path}/here,crop=8").fingerprint


def test_missing_folders(tmp_path):
    fails(f"folder:path={tmp_path}/no", None, f"{tmp_path}/no", "does not exist")
    fails(f"folder:path={tmp_path}", None, "expected images", tmp_path)
    fails("imagenet/val", tmp_path, "imagenet/val")


def test_folders_as_users_have_them(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    picture = Image.fromarray(pixels)
    excel, hidden, turned = (tmp_path / name for name in ("excel", "hidden", "turned"))
    excel.mkdir()
    picture.save(excel / "0001_x.png")
    (excel / "classes.csv").write_text("index,name\n0,cat\n1,dog\n", encoding="utf-8-sig")
    read = data.load(f"folder:path={excel}")
    assert (read.class_names, read.y.tolist()) == (("cat", "dog"), [1])
    for name in ("cat", ".trash"):
        (hidden / name).mkdir(parents=True)
        picture.save(hidden / name / "x.png")
        (hidden / name / "._x.png").write_bytes(b"\0\5\x16\7")
        (hidden / name / ".DS_Store").write_bytes(b"")
    assert len(data.load(f"folder:path={hidden}")) == 1
    (turned / "cat").mkdir(parents=True)
    exif, upright = Image.Exif(), Image.Exif()
    exif[0x0112], upright[0x0112] = 6, 1
    picture.save(turned / "cat" / "a.png", exif=exif)
    whole = data.load(f"folder:path={turned}")
    expected = torch.from_numpy(np.rot90(pixels, -1).copy()).permute(2, 0, 1)[None] / 255
    assert torch.equal(whole.all().x, expected)  # 6: to be turned by 90 degrees to the right
    digest = hashlib.sha256()
    whole.source.feed(torch.arange(1), digest)
    plain = hashlib.sha256(repr(whole.source.framing).encode())
    plain.update(hashlib.sha256((turned / "cat" / "a.png").read_bytes()).digest())
    assert digest.hexdigest() != plain.hexdigest()  # a run on the image lying on its side is another one
    picture.save(turned / "cat" / "a.png", exif=upright)
    again = data.load(f"folder:path={turned}")
    assert again.shape == (3, 20, 30)
