"""`vauban magnify` on made-up images: what is written, what is refused in one line; and options of `vauban train`."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from vauban.metrics import magnify

Run = Callable[..., Any]
GENERATOR = np.random.default_rng(0)
NOISE = GENERATOR.integers(0, 256, (12, 10, 3)).astype(np.uint8)


def save(path: str, pixels: np.ndarray, **options: Any) -> str:
    Image.fromarray(pixels).save(path, **options)
    return path


def seen(path: Path | str) -> np.ndarray:
    return np.asarray(Image.open(path))


def shown(pixels: np.ndarray, **per_sample: float) -> np.ndarray:
    """The magnified image by another way than the command's: 8-bit values of 0.5 + mag."""
    stacked = pixels if pixels.ndim == 3 else pixels[..., None]
    z = magnify(torch.from_numpy(stacked / 255).permute(2, 0, 1)[None], **per_sample)[0].permute(1, 2, 0).numpy()
    return np.clip((0.5 + z) * 255, 0, 255).squeeze()


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to rounding to 8 bits."""
    return a.shape == b.shape and bool(np.abs(a.astype(float) - b).max() <= 0.51)


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_constant_image_is_mid_grey(value: int, vauban: Run, project: Path) -> None:
    save("flat.png", np.full((9, 7), value, np.uint8))
    ran = vauban("magnify", "flat.png")
    assert (ran.code, ran.err, ran.out) == (0, "", "flat-magnified.png\n")
    assert same(seen("flat-magnified.png"), np.full((9, 7), 127.5))


def test_one_image_with_options(vauban: Run, project: Path) -> None:
    (project / "deep").mkdir()
    save("deep/noise.png", NOISE)
    assert vauban("magnify", "deep/noise.png").out == "deep/noise-magnified.png\n"
    assert same(seen("deep/noise-magnified.png"), shown(NOISE))
    words = ["--beta", "0.5", "--sigma-domain", "2", "--sigma-range", "0.2", "--out", "own/m.png"]
    assert vauban("magnify", "deep/noise.png", *words).out == "own/m.png\n"
    want = shown(NOISE, beta=0.5, sigma_domain=2.0, sigma_range=0.2)
    assert same(seen("own/m.png"), want)
    assert not same(want, shown(NOISE))


def test_images_side_by_side_on_mid_grey(vauban: Run, project: Path) -> None:
    grey = NOISE[:5, :6, 0].copy()
    save("a.png", NOISE)
    save("b.png", grey)
    vauban("magnify", "a.png", "b.png", "--out", "both.png")
    both = seen("both.png")
    assert both.shape == (12, 16, 3)
    assert same(both[:, :10], shown(NOISE))
    assert same(both[:5, 10:], np.repeat(shown(grey)[..., None], 3, 2))
    assert same(both[5:, 10:], np.full((7, 6, 3), 127.5))


def test_beside_the_original(vauban: Run, project: Path) -> None:
    changed = np.clip(NOISE.astype(int) + GENERATOR.integers(-9, 10, NOISE.shape), 0, 255).astype(np.uint8)
    for name, pixels in (("x.png", NOISE), ("same.png", NOISE), ("adv.png", changed)):
        save(name, pixels)
    vauban("magnify", "same.png", "adv.png", "--original", "x.png", "--out", "m.png")
    rows = seen("m.png").reshape(2, 12, 5, 10, 3).transpose(0, 2, 1, 3, 4)
    assert np.array_equal(rows[0, 0], NOISE)
    assert same(rows[0, 1], shown(NOISE))
    assert np.array_equal(rows[0, 2], NOISE)
    assert same(rows[0, 4], np.full(NOISE.shape, 127.5))
    assert np.array_equal(rows[1, 2], changed)
    assert same(rows[1, 3], shown(changed))
    inside = (rows[1, 1] % 255 > 0) & (rows[1, 3] % 255 > 0) & (rows[1, 4] % 255 > 0)  # nothing clipped
    gap = rows[1, 3].astype(float) - rows[1, 1] + 127.5
    assert inside.mean() > 0.3
    assert np.abs(rows[1, 4] - gap)[inside].max() <= 1.51


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def deep_png(path: str, colour: int) -> str:
    """A 2x2 PNG of 16 bits per channel, which PIL cannot write in colour."""
    channels = {0: 1, 2: 3}[colour]
    head = struct.pack(">IIBBBBB", 2, 2, 16, colour, 0, 0, 0)
    body = zlib.compress((b"\0" + bytes(2 * 2 * channels)) * 2)
    Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return path


WRONG: dict[str, tuple[Callable[[], list[str]], tuple[str, ...]]] = {
    "no image": (lambda: [], ("image", "vauban magnify --help")),
    "missing": (lambda: ["nowhere.png"], ("nowhere.png", "No such file")),
    "a folder": (lambda: ["."], ("directory",)),
    "not an image": (lambda: ["mine.py"], ("mine.py", "not a readable image")),
    "cut short": (lambda: [cut("cut.png")], ("cut.png", "not a readable image")),
    "a single pixel": (lambda: [save("dot.png", NOISE[:1, :1].copy())], ("dot.png", "single pixel")),
    "alpha": (lambda: [save("a.png", np.zeros((3, 3, 4), np.uint8))], ("a.png", "alpha channel", "RGBA")),
    "grey and alpha": (lambda: [save("a.png", np.zeros((3, 3, 2), np.uint8))], ("a.png", "alpha channel", "LA")),
    "transparent colour": (lambda: [save("t.png", NOISE, transparency=(1, 2, 3))], ("t.png", "alpha channel")),
    "16-bit grey": (lambda: [deep_png("deep.png", 0)], ("deep.png", "8 bits", "16")),
    "16-bit colour": (lambda: [deep_png("deep.png", 2)], ("deep.png", "8 bits", "16")),
    "another size": (lambda: [noise(), "--original", save("o.png", NOISE[:5].copy())], ("o.png", "10x12", "10x5")),
    "grey and colour": (lambda: [noise(), "--original", save("o.png", NOISE[..., 0].copy())], ("3 channels",)),
    "beta": (lambda: [noise(), "--beta", "1.5"], ("beta", "1.5")),
    "width": (lambda: [noise(), "--sigma-domain", "0"], ("positive",)),
    "range": (lambda: [noise(), "--sigma-range", "wide"], ("--sigma-range", "5/255", "'wide'")),
    "out is no PNG": (lambda: [noise(), "--out", "m.jpg"], ("m.png", "m.jpg")),
    "out is the image": (lambda: [noise(), "--out", "noise.png"], ("noise.png", "another file")),
}


def noise() -> str:
    return save("noise.png", NOISE)


def cut(path: str) -> str:
    save(path, NOISE)
    Path(path).write_bytes(Path(path).read_bytes()[:-200])
    return path


@pytest.mark.slow
@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_told_in_one_line(case: str, vauban: Run, project: Path) -> None:
    words, parts = WRONG[case]
    ran = vauban("magnify", *words())
    assert ran.code == 2, ran
    assert ran.err.startswith("vauban: ")
    assert ran.err.count("\n") == 1
    for part in parts:
        assert part in ran.err, ran.err
    assert not list(project.glob("*-magnified.png"))


def test_train_takes_a_recipe_and_starts_from_weights(vauban: Run, project: Path) -> None:
    words = ("train", "--model", "digits-cnn", "--data", "digits/train[:40]", "--batch-size", "20")
    assert vauban(*words, "--epochs", "1", "--out", "a.safetensors").code == 0
    assert vauban(*words, "--epochs", "0", "--start", "a.safetensors", "--out", "b.safetensors").code == 0
    first, again = load_file("a.safetensors"), load_file("b.safetensors")
    assert all(torch.equal(first[name], again[name]) for name in first)
    recipe = "epoch-at:attack=[fgsm:eps=0.1]+mirror-shift"
    attacked = ("--recipe", recipe, "--weight-decay", "0.01", "--epochs", "2", "--out", "c.safetensors")
    assert vauban(*words, *attacked).code == 0
    with safe_open("c.safetensors", "pt") as file:
        told = json.loads(file.metadata()["vauban"])["run"]
    assert (told["recipe"], told["weight_decay"], told["batch"], told["holdout"]) == (recipe, 0.01, 20, 1 / 12)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--recipe", "aat:attack=[fgsm:eps=0.1]"], ("recipe", "'aat'", "'at'")),
        (["--recipe", "at:attack=[pdg]"], ("attack", "'pdg'", "'pgd'")),
        (["--recipe", "at:attack=[pgd:eps=0.1"], ("expected a ] for each [",)),
        (["--recipe", "at:attack=[fgsm:eps=0.1]+at:attack=[ddn]"], ("one objective",)),
        (["--recipe", "at:attack=[fgsm:eps=0.1],alpha=1"], ("alpha", "below 1")),
        (["--recipe", "at"], ("attack",)),
        (["--optimiser", "adamw"], ("optimiser", "adam, sgd")),
        (["--holdout", "half"], ("--holdout", "'half'")),
        (["--start", "none.safetensors"], ("none.safetensors",)),
    ],
)
def test_train_says_what_is_wrong(words: list[str], parts: tuple[str, ...], vauban: Run) -> None:
    ran = vauban("train", "--model", "digits-cnn", "--data", "digits/train[:40]", "--out", "w.safetensors", *words)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    for part in parts:
        assert part in ran.err
