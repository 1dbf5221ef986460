"""Sparse reconstruction: orthogonal matching pursuit against scikit-learn, dictionaries, and one that is fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import orthogonal_mp

import vauban as vb
from vauban.core.errors import ContractError
from vauban.defences import SparseReconstruction
from vauban.defences.inputs.patch_library import PatchLibrary
from vauban.defences.inputs.sparse_reconstruction import FitSparseReconstruction, cosines, pursued


@pytest.mark.parametrize("count", [1, 3, 5])
def test_against_scikit_learn(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    atoms = torch.nn.functional.normalize(torch.randn(40, 12, dtype=torch.float64, generator=generator), dim=1)
    signals = torch.randn(20, 12, dtype=torch.float64, generator=generator)
    codes = orthogonal_mp(atoms.T.numpy(), signals.T.numpy(), n_nonzero_coefs=count)
    np.testing.assert_allclose(pursued(signals, atoms, count).numpy(), (atoms.T.numpy() @ codes).T, atol=1e-8)


def test_combinations_of_few_atoms_come_back_and_zeros_stay() -> None:
    atoms = torch.eye(6, dtype=torch.float64)
    signals = torch.tensor([[0, 2.0, 0, 0, -1, 0], [0] * 6], dtype=torch.float64)
    torch.testing.assert_close(pursued(signals, atoms, 2), signals)
    torch.testing.assert_close(pursued(signals, atoms, 1)[0], torch.tensor([0, 2.0, 0, 0, 0, 0], dtype=torch.float64))


def test_the_cosines_are_overcomplete_and_of_norm_1() -> None:
    for channels in (1, 3):
        atoms = cosines(4, channels)
        assert atoms.shape[1:] == (channels, 4, 4)
        torch.testing.assert_close(atoms.flatten(1).norm(dim=1), torch.ones(len(atoms), dtype=torch.float64))
        assert int(torch.linalg.matrix_rank(atoms.flatten(1))) == 16 * channels
        assert len(atoms) > 16 * channels


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_all_atoms_give_the_image_back_and_few_come_near(channels: int, dtype: torch.dtype) -> None:
    x = torch.rand(2, channels, 9, 10, dtype=dtype, generator=torch.Generator().manual_seed(0))
    full = PatchLibrary(torch.eye(16 * channels, dtype=dtype).view(-1, channels, 4, 4))
    torch.testing.assert_close(SparseReconstruction(atoms=16 * channels, dictionary=full).apply(x), x)
    errors = [float((SparseReconstruction(atoms=n, size=4).apply(x) - x).square().mean()) for n in (1, 4, 12)]
    assert errors == sorted(errors, reverse=True)
    flat = torch.full_like(x, 0.3)
    torch.testing.assert_close(SparseReconstruction(atoms=channels, size=4).apply(flat), flat, atol=1e-5, rtol=1e-5)


def test_the_dictionary_is_fitted_far_apart(tmp_path: Path) -> None:
    out = tmp_path / "dictionary.safetensors"
    vb.fit(FitSparseReconstruction(size=4, sample=500, atoms=60, alike=0.9), None, "digits/train[:30]", out)
    defence = vb.load("defence", f"sparse-reconstruction:file={out},atoms=3,step=1")
    atoms = defence.dictionary.patches.flatten(1)
    torch.testing.assert_close(atoms.norm(dim=1), torch.ones(len(atoms)))
    assert float((atoms @ atoms.T - 2 * torch.eye(len(atoms))).max()) < 0.9
    assert defence.name == f"sparse-reconstruction:dictionary={len(atoms)},atoms=3,step=1,size=4"


def test_what_does_not_fit_is_refused() -> None:
    few = PatchLibrary(torch.rand(3, 1, 4, 4))
    for make, match in (
        (lambda: SparseReconstruction(dictionary=few), "at most 3 atoms"),
        (lambda: SparseReconstruction(dictionary=few, size=5), "expected size=4 of 'sparse-reconstruction'"),
        (lambda: SparseReconstruction(step=9), "step of at most 8"),
        (lambda: SparseReconstruction().apply(torch.rand(1, 2, 8, 8)), "1 or 3"),
        (lambda: SparseReconstruction(atoms=3, dictionary=few).apply(torch.rand(1, 3, 8, 8)), "images of 1 channels"),
    ):
        with pytest.raises(ContractError, match=match):
            make()


def test_grey_images_in_three_channels_do_not_depend_on_their_batch() -> None:
    x = torch.rand(6, 1, 12, 12, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1).contiguous()
    defence = SparseReconstruction(size=4)
    alone = torch.cat([defence.apply(one) for one in x.split(1)])
    assert torch.allclose(defence.apply(x), alone, atol=1e-5)
