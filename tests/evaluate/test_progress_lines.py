"""Progress of a study as plain lines: what failed is not called stored, and images left out are not counted."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

import vauban as vb
from vauban.evaluate.progress_lines import progress_lines


def fails(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    raise KeyError("k")


def stays(model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    return x


def told(folder: Path, attack: object, goal: str = "untargeted") -> list[str]:
    lines: list[str] = []
    x = torch.tensor([0.0, 1.0, 1.0, 1.0]).view(4, 1, 1, 1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    net.load_state_dict({"1.weight": torch.tensor([[0.0], [2.0]]), "1.bias": torch.tensor([1.0, 0.0])})
    data = (x, torch.tensor([0, 1, 0, 1]))
    study = vb.Study(folder, data=data, models={"net": net}, attacks=[attack], goal=goal, preflight=False)
    study.run(progress_lines(lines.append))
    return lines


def test_a_failed_batch_is_told_as_failed(tmp_path: Path) -> None:
    (line,) = told(tmp_path, fails)
    assert line.endswith("4/4 1 batch failed")


def test_images_at_home_in_their_target_are_not_counted(tmp_path: Path) -> None:
    (line,) = told(tmp_path, stays, "targeted:1")
    assert line.endswith("fooled 50%")  # of the two with label 0 one is seen as 1
