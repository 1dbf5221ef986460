"""The magnified views that a run stores for its report: of the examples shown, once per picture, found by content."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vauban.attacks import DDN, FGSM
from vauban.core.norms import Linf
from vauban.evaluate import magnified
from vauban.evaluate.study import Study
from vauban.metrics import magnify
from vauban.report import write
from vauban.report.run.example_images import galleries
from vauban.store import load


@pytest.fixture(scope="module")
def run_of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("magnified")
    study = Study(
        out,
        data="digits/test[:12]",
        models="digits-cnn",
        attacks=[FGSM(Linf(0.2)), DDN(steps=8)],
        defences="none",
        preflight=False,
    )
    study.run()
    return out


def _picture(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))) / 255


def test_every_example_has_its_two_views(run_of_two: Path) -> None:
    ((_, found),) = galleries(load(run_of_two))
    examples = [example for gallery in found for example in gallery.examples]
    assert len(found) == 2
    assert len(examples) >= 4
    for example in examples:
        assert example.views is not None
        for source, view in zip((example.original, example.adversarial), example.views, strict=True):
            z = magnify(torch.from_numpy(_picture(source))[None, None])[0, 0].numpy()
            assert np.abs(_picture(view) - np.clip(0.5 + z, 0, 1)).max() < 0.51 / 255
    shown = {uri for example in examples for uri in (example.original, example.adversarial)}
    assert len(list((run_of_two / "magnified").iterdir())) == len(shown)


def test_a_second_run_makes_none_again(run_of_two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("a view that is at hand was made again")

    monkeypatch.setattr(magnified, "magnify", forbidden)
    Study(
        run_of_two,
        data="digits/test[:12]",
        models="digits-cnn",
        attacks=[DDN(steps=8)],
        defences="none",
        preflight=False,
    ).run()


def test_the_page_shows_them_and_does_without(run_of_two: Path) -> None:
    page = write(run_of_two).read_text()
    assert page.count('alt="original, magnified"') == page.count('alt="adversarial, magnified"') >= 4
    assert "eq. 4.16" in page
    for view in (run_of_two / "magnified").iterdir():
        view.unlink()
    page = write(run_of_two).read_text()
    assert ', magnified"' not in page
    assert 'alt="perturbation, amplified"' in page


def test_vectors_have_no_pictures(tmp_path: Path) -> None:
    study = Study(
        tmp_path,
        data="moons/test[:8]",
        models=torch.nn.Linear(2, 2),
        attacks=[DDN(steps=2)],
        defences="none",
        preflight=False,
    )
    study.run()
    assert not (tmp_path / "magnified").exists()
