"""Image quilting: the cut against every path, the seams, the patches, and a library that is fitted."""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path

import pytest
import torch

import vauban as vb
from vauban.core.errors import ContractError
from vauban.core.rng import seeded
from vauban.defences import Quilting
from vauban.defences.inputs.patch_library import PatchLibrary
from vauban.defences.inputs.quilting import FitQuilting, joined, minimal_cut


@pytest.mark.parametrize("seed", range(8))
def test_the_cut_is_the_best_of_all_paths(seed: int) -> None:
    error = torch.rand(3, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    cut = minimal_cut(error)
    rows = torch.arange(5)
    for one, path in zip(error, cut, strict=True):
        assert int(path.diff().abs().max()) <= 1
        paths = [p for p in product(range(3), repeat=5) if all(abs(a - b) <= 1 for a, b in pairwise(p))]
        best = min(float(sum(one[row, column] for row, column in enumerate(p))) for p in paths)
        assert float(one[rows, path].sum()) == pytest.approx(best)


def test_parts_are_joined_along_the_cut() -> None:
    left, right = torch.zeros(1, 4, 5), torch.ones(1, 4, 5)
    right[0, torch.arange(4), torch.tensor([0, 1, 1, 0])] = 0  # where they do not differ
    out = joined(torch.stack([left, right]), 2)
    assert out.shape == (1, 4, 8)
    expected = torch.zeros(4, 8)
    expected[:, 5:] = 1
    expected[[0, 3], 4] = 1  # beyond the cut in column 0 of the overlap
    expected[[1, 2], 4] = 0
    assert torch.equal(out[0], expected)
    same = torch.rand(2, 3, 9)
    parts = torch.stack([same[..., k : k + 5] for k in (0, 2, 4)])
    assert torch.equal(joined(parts, 2 + 0)[..., :3], same[..., :3])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 1, 12, 9), (1, 1, 5, 5)])
def test_an_image_made_of_its_own_nearest_patches_is_itself(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    # The grid ends at the border where (side - overlap) is a multiple of the step, 3.
    out = Quilting(nearest=1).apply(x)
    assert out.dtype == dtype
    whole = [3 * ((side - 2) // 3) + 2 for side in shape[2:]]
    torch.testing.assert_close(out[..., : whole[0] - 2, : whole[1] - 2], x[..., : whole[0] - 2, : whole[1] - 2])


def test_every_patch_is_one_of_the_nearest_of_the_library() -> None:
    levels = torch.linspace(0, 1, 11, dtype=torch.float64)
    flat = PatchLibrary(levels[:, None, None, None].expand(11, 1, 5, 5).contiguous())
    x = torch.full((3, 1, 11, 11), 0.51, dtype=torch.float64)
    with seeded("tests", "quilting"):
        out = Quilting(nearest=3, library=flat).apply(x)
        other = Quilting(nearest=3, library=flat).apply(x)
    assert {round(float(v), 3) for v in out.unique()} == {0.4, 0.5, 0.6}
    assert not torch.equal(out, other)
    assert torch.equal(Quilting(nearest=1, library=flat).apply(x), torch.full_like(x, 0.5))


def test_the_library_is_fitted_and_the_card_follows_the_draw(tmp_path: Path) -> None:
    out = tmp_path / "library.safetensors"
    vb.fit(FitQuilting(size=3, sample=200), None, "digits/train[:30]", out)
    defence = vb.load("defence", f"quilting:file={out},nearest=1,overlap=1")
    assert defence.name == "quilting:library=200,nearest=1,overlap=1,size=3"
    assert not defence.card.random
    batch = vb.data.load("digits/train[:30]").all()
    places = {tuple(p.flatten().tolist()) for p in batch.x.unfold(2, 3, 1).unfold(3, 3, 1).reshape(-1, 9)}
    assert all(tuple(p.flatten().tolist()) in places for p in defence.library.patches)
    with pytest.raises(ContractError, match="images of 1 channels"):
        defence.apply(torch.rand(1, 3, 8, 8))


def test_what_does_not_fit_is_refused() -> None:
    library = PatchLibrary(torch.rand(4, 1, 5, 5))
    for make, match in (
        (lambda: Quilting(library=library), "at most 4 neighbours"),
        (lambda: Quilting(library=library, nearest=2, size=4), "expected size=5 of 'quilting'"),
        (lambda: Quilting(overlap=3), "overlap of at most 2"),
        (lambda: Quilting().apply(torch.rand(1, 2, 8, 8)), "1 or 3"),
        (lambda: Quilting().apply(torch.rand(1, 1, 4, 8)), "at least 5x5"),
        (lambda: PatchLibrary(torch.rand(4, 5)), "expected finite patches"),
    ):
        with pytest.raises(ContractError, match=match):
            make()
