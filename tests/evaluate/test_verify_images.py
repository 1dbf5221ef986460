"""Images that somebody else made, in every format, good and bad."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from vauban.core.errors import ContractError, UnknownName
from vauban.data.dataset import Dataset, InMemory
from vauban.evaluate.adversarial_files import read_images
from vauban.evaluate.verify import parse_budget, verify


class Mean(nn.Module):
    """Class 1 where the mean is above one half."""

    def forward(self, x: Tensor) -> Tensor:
        value = x.flatten(1).mean(1) - 0.5
        return torch.stack([-value, value], 1)


def dataset(shape: tuple[int, ...] = (1, 4, 6), n: int = 4) -> Dataset:
    pixels = torch.full((n, *shape), 115, dtype=torch.uint8)  # 0.451
    return Dataset("grey", "", InMemory(pixels), torch.zeros(n, dtype=torch.int64), ("dark", "light"))


DATA = dataset()
CLEAN = DATA.all().x
LIGHT = (CLEAN * 255 + 20).round() / 255  # 0.529, 20 levels away


def save_png(path: Path, x: Tensor) -> Path:
    path.mkdir()
    for i, image in enumerate(x):
        pixels = (image * 255).round().to(torch.uint8).numpy()
        Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(path / f"{i}.png")
    return path


def save_npz(path: Path, x: Any, name: str = "adv") -> Path:
    np.savez(path, **{name: np.asarray(x), "labels": np.zeros(len(x))})
    return path


def written(path: Path, write: Callable[[Path], object]) -> Path:
    write(path)
    return path


FORMATS: dict[str, Callable[[Path], Path]] = {
    "npz": lambda p: save_npz(p / "a.npz", LIGHT),
    "npz, one array": lambda p: written(p / "a.npz", lambda f: np.savez(f, LIGHT.numpy())),
    "npz, float64": lambda p: save_npz(p / "a.npz", LIGHT.double()),
    "npy": lambda p: written(p / "a.npy", lambda f: np.save(f, LIGHT.numpy())),
    "npy, bytes": lambda p: written(p / "a.npy", lambda f: np.save(f, (LIGHT * 255).round().byte().numpy())),
    "npy, channel last": lambda p: written(p / "a.npy", lambda f: np.save(f, LIGHT.permute(0, 2, 3, 1).numpy())),
    "npy, no channel": lambda p: written(p / "a.npy", lambda f: np.save(f, LIGHT[:, 0].numpy())),
    "pt": lambda p: written(p / "a.pt", lambda f: torch.save(LIGHT, f)),
    "pt, dict": lambda p: written(p / "a.pt", lambda f: torch.save({"x_adv": LIGHT, "y": torch.zeros(4)}, f)),
    "folder": lambda p: save_png(p / "png", LIGHT),
}


@pytest.mark.parametrize("form", FORMATS)
def test_formats(form: str, tmp_path: Path) -> None:
    found = verify(Mean(), DATA, FORMATS[form](tmp_path), "linf:20/255")
    assert found.as_dict() == {
        "samples": 4,
        "in_range": 1,
        "in_budget": 1,
        "on_grid": 1,
        "largest_distance": pytest.approx(20 / 255),
        "clean_accuracy": 1,
        "misclassified": 1,
        "success": 1,
        "success_reloaded": 1,
        "robust_accuracy": 0,
        "in_budget_saved": 1,
        "largest_distance_saved": pytest.approx(20 / 255),
        "largest_budget_on_grid": pytest.approx(20 / 255),
        "budget": "linf:0.0784314",
        "clean_not_finite": 0,
        "not_finite": 0,
        "clean_rejected": None,
        "rejected": None,
        "fooled_or_rejected": None,
        "noise_rejected": None,
    }


def test_colour_in_both_orders(tmp_path: Path) -> None:
    data = dataset((3, 5, 4))
    light = (data.all().x * 255 + 20).round() / 255
    for x in (light, light.permute(0, 2, 3, 1)):
        np.save(tmp_path / "a.npy", x.numpy())
        assert torch.equal(read_images(tmp_path / "a.npy", data), light)
    assert torch.equal(read_images(save_png(tmp_path / "png", light), data), light)


def judged(x: Tensor, budget: str = "linf:20/255") -> dict[str, float]:
    return verify(Mean(), DATA, x, budget).as_dict()


def test_out_of_budget() -> None:
    x = LIGHT.clone()
    x[0, 0, 0, 0] = 1
    found = judged(x)
    assert (found["in_budget"], found["success"], found["misclassified"], found["robust_accuracy"]) == (
        0.75,
        0.75,
        1,
        0.25,
    )
    assert found["largest_distance"] == pytest.approx(140 / 255)


def test_out_of_range() -> None:
    x = LIGHT.clone()
    x[1] += 0.6
    found = judged(x, "linf:0.9")
    assert (found["in_range"], found["in_budget"], found["success"], found["success_reloaded"]) == (0.75, 1, 0.75, 0.75)


def test_off_the_lattice_and_lost_by_rounding() -> None:
    edge = torch.full_like(CLEAN, 0.5003)  # light, and dark after rounding down to 127/255? 127.58 rounds up to 128
    edge[:2] = 127.49 / 255 + 0  # dark as it is
    thin = CLEAN.clone()
    thin[:] = 127.4999 / 255
    assert judged(thin, "linf:0.2")["success"] == 0
    assert judged(edge, "linf:0.2")["on_grid"] == 0

    class Threshold(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            value = x.flatten(1).mean(1) - 127.2 / 255
            return torch.stack([-value, value], 1)

    found = verify(Threshold(), DATA, torch.full_like(CLEAN, 127.4 / 255), "linf:0.2")
    assert (found.success, found.success_reloaded, found.on_grid) == (1, 0, 0)


def test_nan_images_win_nothing() -> None:
    x = LIGHT.clone()
    x[2, 0, 1, 1] = torch.nan
    found = judged(x, "linf:1")
    assert found["in_range"] == found["in_budget"] == found["on_grid"] == found["success"] == 0.75
    assert found["success_reloaded"] == 0.75
    assert found["largest_distance"] == math.inf


def test_clean_mistakes_are_not_robust() -> None:
    data = Dataset("wrong", "", DATA.source, torch.tensor([0, 0, 0, 1]), DATA.class_names)
    found = verify(Mean(), data, CLEAN, "linf:0.1")
    assert (found.clean_accuracy, found.robust_accuracy, found.largest_distance) == (0.75, 0.75, 0)


def test_undeclared_randomness_is_judged_on_draws() -> None:
    class Coin(Mean):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * torch.where(torch.rand(len(x), 1) < 0.2, -1.0, 1.0)

    found = verify(Coin(), DATA, CLEAN, "linf:0.1")
    assert 0 < found.misclassified < 0.6
    assert found.success == 0


def test_vectors_are_judged_without_png() -> None:
    points = Dataset(
        "points", "", InMemory(torch.full((3, 2), 0.4)), torch.zeros(3, dtype=torch.int64), ("a", "b"), levels=None
    )
    found = verify(Mean(), points, torch.full((3, 2), 0.6), "l2:0.5")
    assert (found.success, found.success_reloaded) == (1, 1)


class Payload:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("owned"),))


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "count": (lambda p: written(p / "a.npy", lambda f: np.save(f, LIGHT[:3].numpy())), r"4 images.*\(3, 1, 4, 6\)"),
    "shape": (lambda p: written(p / "a.npy", lambda f: np.save(f, np.zeros((4, 1, 5, 6), np.float32))), r"\(1, 4, 6\)"),
    "integers": (lambda p: written(p / "a.npy", lambda f: np.save(f, np.zeros((4, 1, 4, 6), np.int64))), "uint8"),
    "objects": (lambda p: written(p / "a.npy", lambda f: np.save(f, np.array([{}]), allow_pickle=True)), "a.npy"),
    "two arrays": (lambda p: written(p / "a.npz", lambda f: np.savez(f, a=LIGHT.numpy(), b=LIGHT.numpy())), "got a, b"),
    "pickle": (lambda p: written(p / "a.pt", lambda f: f.write_bytes(pickle.dumps(Payload()))), "a.pt"),
    "pickle in pt": (lambda p: written(p / "a.pt", lambda f: torch.save(Payload(), f)), "a.pt"),
    "a list": (lambda p: written(p / "a.pt", lambda f: torch.save([LIGHT], f)), "got list"),
    "torn": (lambda p: written(p / "a.npz", lambda f: f.write_bytes(b"PK\x03\x04 torn")), "a.npz"),
    "empty": (lambda p: written(p / "a.npy", lambda f: f.write_bytes(b"")), "a.npy"),
    "no file": (lambda p: p / "none.npz", "does not exist"),
    "folder without": (lambda p: p, "0.png"),
    "torn png": (
        lambda p: written(save_png(p / "png", LIGHT), lambda f: (f / "2.png").write_bytes(b"\x89PNG")),
        "2.png",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_one_line(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, part = BAD[case]
    with pytest.raises(ContractError, match=part) as told:
        verify(Mean(), DATA, make(tmp_path), "linf:0.1")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("text", ["8/255", "linf", "linf:", "linf:big", "linf:-1", "linf:1e999", "linf:true"])
def test_budgets(text: str) -> None:
    with pytest.raises(ContractError, match="linf:8/255"):
        parse_budget(text)


def test_budget_norms() -> None:
    assert str(parse_budget("l2:0.5")) == "l2:0.5"
    with pytest.raises(UnknownName, match="linf"):
        parse_budget("lif:1")


@pytest.mark.parametrize("form", ["npy", "npz", "pt", "tensor"])
def test_floats_up_to_255_are_recognised(form: str, tmp_path: Path) -> None:
    x = LIGHT * 255
    given: Any = x if form == "tensor" else FORMATS[form](tmp_path)
    if form == "npy":
        np.save(given, x.numpy())
    elif form == "npz":
        save_npz(given, x)
    elif form == "pt":
        torch.save(x, given)
    with pytest.raises(ContractError, match="values up to 135; divide by 255"):
        verify(Mean(), DATA, given, "linf:0.1")


def test_leaving_the_ball_when_saved_is_said_with_the_largest_budget_on_the_grid() -> None:
    eps = 12.6 / 255  # a level beyond: 13 of 255 where the image is rounded up
    found = verify(Mean(), DATA, CLEAN + eps, f"linf:{eps}")
    assert (found.in_budget, found.in_budget_saved) == (1, 0)
    assert found.largest_budget_on_grid == pytest.approx(12 / 255)
    assert found.largest_distance_saved == pytest.approx(13 / 255)
    assert found.rows["leaves_when_saved"] == [True] * 4
    (said,) = found.sentences()
    assert said.startswith("4 leave the budget when they are saved at 8 bits, by up to 0.00157")
    assert "12/255" in said


def test_what_is_outside_is_explained_and_nothing_is_said_where_all_is_well() -> None:
    assert verify(Mean(), DATA, LIGHT, "linf:0.1").sentences() == []
    far = LIGHT.clone()
    far[0] += 0.1
    far[1] = 1.5
    said = verify(Mean(), DATA, far, "linf:0.1").sentences()
    assert [text.split(" ")[0] for text in said] == ["1", "2", "2"]
    assert "not in [0,1]" in said[0]
    assert "outside the budget, the farthest by 0.949" in said[1]
    assert "wrong label" in said[2]


def test_the_page_and_the_file_hold_every_image(tmp_path: Path) -> None:
    import csv

    found = verify(Mean(), DATA, LIGHT, "linf:0.1")
    page = found.write(tmp_path / "out")
    lines = list(csv.DictReader((tmp_path / "out" / "images.csv").read_text().splitlines()))
    assert [line["id"] for line in lines] == ["0", "1", "2", "3"]
    assert {line["success"] for line in lines} == {"True"}
    assert page.read_text().count("<tr>") == 4 + 1 + len(found.as_dict())


def test_a_file_that_is_no_images_is_not_advised_to_be_unpickled(tmp_path: Path) -> None:
    data = Dataset("d", "", InMemory(torch.zeros(1, 1, 2, 2)), torch.tensor([0]), ("a", "b"))
    file = tmp_path / "net.py"
    file.write_text("import torch\n")
    with pytest.raises(
        ContractError, match="npz, npy, pt or a folder of PNG, got a file that holds no tensors alone"
    ) as error:
        read_images(file, data)
    assert "weights_only" not in str(error.value)


class Counted(Mean):
    """Counts its calls with a single image."""

    singles = 0

    def forward(self, x: Tensor) -> Tensor:
        self.singles += len(x) == 1
        return super().forward(x)


def test_the_number_of_logits_is_asked_once() -> None:
    """One question for one image, and one for each of the four alone, whether its answer depends on the batch."""
    net = Counted()
    verify(net, DATA, LIGHT, "linf:20/255")
    assert net.singles == 1 + 4


def test_labels_of_all_images_are_checked_not_only_of_those_looked_at() -> None:
    data = dataset(n=20)
    wrong = Dataset("grey", "", data.source, torch.tensor([0] * 19 + [2]), ("dark", "light", "odd"))
    with pytest.raises(ContractError, match="labels in"):
        verify(Mean(), wrong, data.all().x, "linf:20/255")
