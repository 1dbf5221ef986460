"""The fitted attack: files, budgets behind a mask and on the grid, and one line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import vauban as vb
from vauban.attacks.parts.fitter import FitResult
from vauban.attacks.universal.shift import UniversalPerturbation
from vauban.attacks.universal.uap import Universal
from vauban.core.errors import ContractError
from vauban.core.norms import L2, Ball, Linf
from vauban.core.pixel_grid import on_grid
from vauban.engine import BoundThreat, Oracle
from vauban.jobs.identity import address, describe
from vauban.models import weights
from vauban.words.attack import attack_of
from vauban.words.fitter import fitter_of

V = torch.linspace(-0.1, 0.1, 64).view(1, 8, 8)
BALLS = [Linf(0.1), L2(float(V.norm()))]


def kept(path: Path, v: Tensor = V, ball: Ball = BALLS[0]) -> Path:
    Universal(ball).save(FitResult(UniversalPerturbation(v, ball), 0.5, 7, 2, 100, 900), path, {"goal": "untargeted"})
    return path


@pytest.mark.parametrize("ball", BALLS, ids=str)
def test_a_file_gives_back_the_same_bits(ball: Ball, tmp_path: Path) -> None:
    path = kept(tmp_path / "u.safetensors", V, ball)
    again = Universal().load(path)
    assert again.v.equal(V)
    assert again.ball == ball
    assert describe(again) == describe(UniversalPerturbation(V, ball))
    assert address(describe(UniversalPerturbation(V * 0.5, ball))) != address(describe(again))
    assert (tmp_path / "v.safetensors").write_bytes(path.read_bytes())
    assert describe(UniversalPerturbation(file=str(tmp_path / "v.safetensors"))) == describe(
        again
    )  # the content, not the place
    fit = {"rate": 0.5, "images": 7, "epochs": 2, "forwards": 100, "backwards": 900}
    told = {"attack": "universal", "norm": ball.norm.name, "eps": ball.radius, "goal": "untargeted", "fit": fit}
    assert weights.metadata(path) == {"params": {}, "format": 1, **told}


@pytest.mark.parametrize("ball", BALLS, ids=str)
@pytest.mark.parametrize("levels", [None, 256])
def test_a_mask_and_the_grid_keep_it_in_the_budget(
    ball: Ball, levels: int | None, digits_test: tuple[Tensor, Tensor], digits_cnn: nn.Module
) -> None:
    x, y = digits_test[0][:20], digits_test[1][:20]
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[:, 2:7] = True
    for smaller, m in ((ball, None), (ball, mask), (ball.norm(0.4 * ball.radius), None)):
        result = UniversalPerturbation(V, smaller).run(
            Oracle.open(BoundThreat(digits_cnn, levels=levels), x, y, mask=m)
        )
        assert smaller.bind(x).contains(result.crafted, x).all()
        assert levels is None or on_grid(result.crafted, levels)
        assert m is None or result.crafted[~m.expand_as(x)].equal(x[~m.expand_as(x)])
        assert result.success.equal(digits_cnn(result.crafted).argmax(1) != y)
        assert (result.forwards.max(), result.backwards.max()) == (1, 0)
        if levels is None and m is None and smaller is ball:
            torch.testing.assert_close(result.crafted, (x + V).clamp(0, 1))


@pytest.mark.slow
def test_a_fit_is_an_attack_at_once(digits_test: tuple[Tensor, Tensor], digits_mlp: nn.Module) -> None:
    """On other images, judged as any attack: more than noise of the same size does."""
    x, y = digits_test
    batch = vb.data.load("digits/train").take(40)
    fitted = Universal(Linf(0.35), epochs=4).fit(BoundThreat(digits_mlp, levels=None), [batch])
    result = vb.attack(fitted.attack, digits_mlp, (x[:100], y[:100]))
    signs = vb.attack(vb.attacks.RandomNoise(Linf(0.35), steps=1), digits_mlp, (x[:100], y[:100]))
    assert result.robust_accuracy < signs.robust_accuracy - 0.1
    assert fitted.rate > 0.3


def test_words(tmp_path: Path) -> None:
    path = kept(tmp_path / "u.safetensors")
    assert attack_of(f"universal:file={path}").value.ball == Linf(0.1)  # its own, not the one of the data
    assert attack_of(f"universal:file={path}", vb.data.load("digits")).value.ball == Linf(0.1)
    assert attack_of(f"universal:file={path},eps=4/255").value.ball == Linf(4 / 255)
    assert fitter_of("universal:norm=l2,eps=3,epochs=2").value == Universal(L2(3.0), epochs=2)
    assert fitter_of("universal", vb.data.load("digits")).value == Universal(Linf(0.2))
    mine = Universal(epochs=3)
    assert fitter_of(mine).value is mine
    with pytest.raises(ContractError, match="fit, save and load"):
        fitter_of(Universal)


def test_no_file_no_perturbation(tmp_path: Path) -> None:
    other, plain, text = tmp_path / "net.safetensors", tmp_path / "p.safetensors", tmp_path / "t.safetensors"
    weights.save(nn.Linear(2, 2), other, {"architecture": "mine"})
    save_file({"v": V}, plain)
    text.write_text("no tensors")
    wrong = {
        "vauban fit": None,
        "does not exist": tmp_path / "absent.safetensors",
        "holds no universal": other,
        "no universal perturbation": plain,
        "not a readable": text,
    }
    for words, path in wrong.items():
        with pytest.raises(ContractError, match=words) as error:
            UniversalPerturbation(file=path)
        assert len(str(error.value).splitlines()) == 1


def test_wrong_contents_are_one_line(tmp_path: Path, digits_test: tuple[Tensor, Tensor], digits_mlp: nn.Module) -> None:
    with pytest.raises(ContractError, match="ball beside"):
        UniversalPerturbation(V)
    for bad in (V * torch.nan, V / 0, V.long()):
        with pytest.raises(ContractError, match="finite floats"):
            UniversalPerturbation(bad, BALLS[0])
    path = kept(tmp_path / "u.safetensors")
    with pytest.raises(ContractError, match="norm=linf"):
        UniversalPerturbation(ball=L2(1.0), file=path)
    for eps in (None, float("nan"), "wide"):
        told = {"attack": "universal", "norm": "linf", "eps": eps, "params": {}}
        save_file(load_file(path), tmp_path / "e.safetensors", {"vauban": json.dumps(told)})
        with pytest.raises(ContractError, match="radius"):
            UniversalPerturbation(file=tmp_path / "e.safetensors")
    small = UniversalPerturbation(V[:, :7], BALLS[0])
    with pytest.raises(ContractError, match=r"\(1, 7, 8\).*\(1, 8, 8\)"):
        small.run(Oracle.open(BoundThreat(digits_mlp), digits_test[0][:2], digits_test[1][:2]))
