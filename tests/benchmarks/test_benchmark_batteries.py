"""The curve of robust accuracy against passes and the pooled comparison, on outcomes made by hand and on digits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from scipy.stats import beta

from benchmarks import batteries


def outcome(broken: list[int], passes: list[int], wrong: int = 1) -> dict[str, torch.Tensor]:
    """A battery on `len(broken)` images that are right and `wrong` that are not."""
    n = len(broken) + wrong
    return {
        "ids": torch.arange(n),
        "right": torch.arange(n) < len(broken),
        "broken": torch.tensor(broken + [0] * wrong) > 0,
        "passes": torch.tensor(passes + [0] * wrong),
    }


def test_an_image_stands_until_its_passes_are_spent_and_wrong_ones_never_do() -> None:
    result = outcome([1, 1, 0], [20, 50, 90])
    assert batteries.standing(result, 10).tolist() == [1, 1, 1, 0]
    assert batteries.standing(result, 20).tolist() == [0, 1, 1, 0]
    assert batteries.standing(result, 1000).tolist() == [0, 0, 1, 0]


def test_rows_count_what_each_breaks_alone() -> None:
    results = {"quick": outcome([1, 0, 1, 0], [4, 40, 6, 30]), "autoattack": outcome([0, 1, 1, 0], [1000, 600, 9, 911])}
    quick, reference = batteries.rows(results)
    assert quick[:2] == ["quick", 5]
    assert quick[2].startswith("0.400 [")
    assert quick[3:6] == ["20", "1", "1"]
    assert reference[3:6] == ["630", "0", "0"]
    assert quick[6:8] == ["0.400", "0.400"]  # at 10 and 30 passes


def test_pooled_images_have_their_exact_bounds_and_passes_their_ratio(tmp_path: Path) -> None:
    files = []
    for k, (mine, theirs) in enumerate((([1, 0, 1, 0], [0, 1, 1, 0]), ([1, 1, 0, 0], [1, 1, 1, 0]))):
        files.append(tmp_path / f"{k}.pt")
        torch.save({"quick": outcome(mine, [5] * 4), "autoattack": outcome(theirs, [50] * 4)}, files[-1])
    (row,) = batteries.pooled(files)
    differ, missed = (f"{beta.ppf(0.975, k + 1, 8 - k):.4f}" for k in (3, 2))
    assert row == ["quick", 2, 8, 3, differ, 2, missed, "1/10.0"]


def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "digits.pt"
    words = "batteries --model digits-cnn --data digits/test[:12] --eps 0.1 --times 1000 --only PMA,MALT --save"
    monkeypatch.setattr("sys.argv", [*words.split(), str(saved)])
    batteries.main()
    assert set(torch.load(saved, weights_only=True)) == {"PMA", "MALT"}
    monkeypatch.setattr("sys.argv", ["batteries", "--pool", str(saved)])
    batteries.main()
    assert "| PMA | 12 |" in capsys.readouterr().out
