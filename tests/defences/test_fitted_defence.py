"""A defence that is fitted: one mechanism with attacks, through Python, the command line, a study and worker processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import vauban as vb
from vauban.cli import main
from vauban.core.errors import ContractError, UnknownName
from vauban.data import Dataset
from vauban.evaluate.outputs import FittedFile
from vauban.evaluate.study import Study
from vauban.jobs.identity import address
from vauban.jobs.perform import obtain
from vauban.models import weights
from vauban.store import query

USERS = """
from dataclasses import dataclass, field
import torch
from torch import nn
from vauban.core.parameters import Positive
from vauban.defences import DefenceFit, DefenceFitter, InputDefence
from vauban.models import weights

@dataclass(frozen=True, eq=False)
class Shift(InputDefence):
    registered = "shift"
    by: torch.Tensor | None = None
    file: str | None = field(default=None, repr=False)

    def __post_init__(self):
        super().__post_init__()
        if self.file is not None:
            object.__setattr__(self, "by", weights.read(__import__("pathlib").Path(self.file))["by"])
            object.__setattr__(self, "file", None)

    def apply(self, x):
        return (x + self.by.to(x)).clamp(0, 1)

@dataclass(frozen=True)
class FitShift(DefenceFitter):
    kind = "shift"
    scale: Positive = 0.1
    network: bool = False

    @property
    def reads_network(self):
        return self.network

    def fit(self, module, batches, *, seed=0, callback=None):
        total, images = 0.0, 0
        for batch in batches:
            total, images = total + batch.x.double().sum(0), images + len(batch.x)
            if module is not None:
                module(batch.x)
        by = (self.scale * (total / images + seed)).float()
        return DefenceFit(Shift(by), {"mean shift": float(by.mean())}, images, images if module is not None else 0)

    def save(self, fitted, path, meta):
        told = {"reached": dict(fitted.reached), "images": fitted.images, "forwards": fitted.forwards}
        held = nn.ParameterDict({"by": nn.Parameter(fitted.defence.by, requires_grad=False)})
        weights.save(held, path, {**meta, "format": 1, "defence": "shift", "fit": told})

    def load(self, path):
        return Shift(file=path)
"""


def study(out: Path, front: str) -> Study:
    words = {"data": "digits/test[:6]", "models": "digits-cnn", "attacks": "fgsm:eps=0.1", "threats": "white-box"}
    return Study(out, **words, defences=front, preflight=False)


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "shift.py").write_text(USERS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_and_the_command_line_write_the_same_file(
    users: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = vb.fit("shift.py:FitShift:scale=0.2", None, "digits/train[:50]", users / "a.safetensors", seed=1)
    x = vb.data.load("digits/train[:50]").all().x
    torch.testing.assert_close(fitted.defence.by, 0.2 * (x.mean(0) + 1))
    words = ["fit", "--fitter", "shift.py:FitShift:scale=0.2", "--data", "digits/train[:50]"]
    monkeypatch.setattr("sys.argv", ["vauban", *words, "--out", "b.safetensors", "--seed", "1"])
    for told in ("50 images, 0 forwards", "0 forwards, fitted before by the same words"):
        with pytest.raises(SystemExit) as leave:
            main()
        assert not leave.value.code
        assert told in capsys.readouterr().out
    assert torch.equal(weights.read(users / "a.safetensors")["by"], weights.read(users / "b.safetensors")["by"])
    meta = weights.metadata(users / "b.safetensors")
    assert meta["data"]["fingerprint"] == vb.data.load("digits/train[:50]").fingerprint
    assert (meta["seed"], meta["recipe"]["scale"], meta["model"]) == (1, 0.2, None)


def test_identity_follows_from_what_is_read(users: Path) -> None:
    net, other = (vb.models.load("digits-cnn"), torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)))
    data = vb.data.load("digits/train[:20]")

    def key(fitter: str, model: Any, of: Dataset = data, seed: int = 0) -> str:
        return address(FittedFile(fitter, model, of, users / "c.safetensors", seed=seed).identity())

    images = "shift.py:FitShift"
    assert key(images, None) == key(images, net) == key(images, other)
    reading = "shift.py:FitShift:network=true"
    keys = {key(images, None), key(reading, net), key(reading, other), key(images, None, data[:10])}
    keys |= {key(images, None, seed=1), key("shift.py:FitShift:scale=0.3", None)}
    assert len(keys) == 6
    made = FittedFile(reading, net, data, users / "c.safetensors")
    assert obtain(made)
    assert not obtain(made)
    assert weights.metadata(users / "c.safetensors")["fit"]["forwards"] == 20


def test_a_file_counts_by_its_content_and_is_told_by_its_base_name(users: Path) -> None:
    vb.fit("shift.py:FitShift", None, "digits/train[:30]", users / "a.safetensors")
    (users / "deep").mkdir()
    (users / "deep" / "b.safetensors").write_bytes((users / "a.safetensors").read_bytes())
    vb.fit("shift.py:FitShift", None, "digits/train[:40]", users / "c.safetensors")
    cells = {}
    for name in ("a", "deep/b", "c"):
        front = f"shift.py:Shift:file={users}/{name}.safetensors"
        (cell,) = study(users / "run", front).cells
        cells[name] = (address(cell.identity()), cell.defence.name)
    assert cells["a"][0] == cells["deep/b"][0] != cells["c"][0]
    assert cells["deep/b"][1] == "shift.py:Shift:file=b.safetensors"


@pytest.mark.slow
def test_workers_make_it_again(users: Path) -> None:
    vb.fit("shift.py:FitShift", None, "digits/train[:30]", users / "a.safetensors")
    front = "shift.py:Shift:file=a.safetensors"
    rows = []
    for workers in (1, 2):
        study(users / f"run{workers}", front).run(workers=workers, progress=False)
        (cell,) = query.load(users / f"run{workers}").cells
        assert cell.complete
        rows.append({name: cell.columns[name].tolist() for name in ("id", "success", "linf", "l2", "forwards")})
    assert rows[0] == rows[1]


def test_what_cannot_be_fitted_is_one_line(users: Path) -> None:
    out, data = users / "x.safetensors", "digits/train[:8]"
    for fitter, options, told in (
        ("shift.py:FitShift", {"goal": vb.Targeted(1)}, "no threat and no goal"),
        ("shift.py:FitShift", {"threat": "white-box"}, "no threat and no goal"),
        ("shift.py:FitShift:network=true", {}, "got none"),
        ("universal:eps=0.1", {}, "got none"),
        ("shift.py:FitShift:scale=0", {}, "scale"),
        ("shift.py:Shift", {}, "fits an attack or a defence"),
    ):
        with pytest.raises(ContractError, match=told) as error:
            vb.fit(fitter, None, data, out, **options)
        assert "\n" not in str(error.value)
    with pytest.raises(UnknownName, match="did you mean 'universal'"):
        vb.fit("univrsal:eps=0.1", None, data, out)
    assert not out.exists()


@pytest.mark.parametrize("name", ["jpeg", "patches", "quilting", "sparse-reconstruction", "mean-filter"])
def test_no_images_are_no_logits(name: str) -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
    assert vb.defences.load(name).wrap(net)(torch.zeros(0, 1, 8, 8)).shape == (0, 3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_an_auto_encoder_is_fitted_to_images_of_any_type(dtype: torch.dtype, tmp_path: Path) -> None:
    x = (torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 255).round() / 255
    files = [tmp_path / "as.safetensors", tmp_path / "float32.safetensors"]
    for file, images in zip(files, (x.to(dtype), x), strict=True):
        vb.fit("auto-encoder:epochs=1,batch=4", None, (images, torch.zeros(8, dtype=torch.int64)), file)
    given, plain = (weights.read(file) for file in files)
    assert all(torch.allclose(given[k].float(), plain[k].float(), atol=1e-2) for k in plain)


@pytest.mark.parametrize("fitter", ["kernel-density", "pca-whitening", "mahalanobis"])
def test_a_fit_on_a_random_network_follows_from_its_seed(fitter: str, tmp_path: Path) -> None:
    network = torch.nn.Sequential(vb.models.load("digits-cnn"))
    network.register_forward_pre_hook(lambda _, given: (given[0] + 0.1 * torch.randn_like(given[0]),))
    files = []
    for number in (1, 2):
        torch.manual_seed(number)
        before = torch.get_rng_state()
        vb.fit(f"{fitter}:fpr=0.2", network, "digits/train[:120]", tmp_path / f"{number}.safetensors")
        assert torch.equal(torch.get_rng_state(), before)
        files.append(weights.read(tmp_path / f"{number}.safetensors"))
    assert files[0].keys() == files[1].keys()
    assert all(torch.equal(value, files[1][key]) for key, value in files[0].items())


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="is a folder"):
        vb.defences.load(f"quilting:file={tmp_path}")
