"""A defence that cuts the graph ends its white-box cell; the adaptive one, with the card's substitute, still runs."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from vauban.core.cards import Card, Defended
from vauban.data import load
from vauban.evaluate.study import Study
from vauban.store import query
from vauban.words.named import Named


class Cut(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x > 0.5).float()


class Binary(Defended):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__(inner, Card("binary", backward={"cut": None}))
        self.cut = Cut()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(self.cut(x))
        return logits


class Guard:
    name = "binary"

    def wrap(self, module: nn.Module) -> nn.Module:
        return Binary(module)


def test_the_cell_fails_with_its_finding_and_the_study_goes_on(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        net[1].weight.copy_(torch.linspace(-1, 1, 640).view(10, 64).sin())
    data = load("digits/test[:12]")
    study = Study(
        tmp_path,
        data=data,
        models=[Named("net", net)],
        defences=[Guard()],
        attacks=["pgd:steps=3,eps=0.3"],
        labels="own",
    )
    outcomes = study.run()
    assert [(o.job.cell.threat_name, o.state) for o in outcomes] == [("white-box", "failed"), ("adaptive", "finished")]
    cells = {cell.meta["threat"]: cell for cell in query.load(tmp_path).cells}
    assert "backward rule (BPDA)" in cells["white-box"].failures[0]["error"]
    assert "no-gradients" in {f["code"] for f in cells["white-box"].findings}
    assert cells["adaptive"].complete
