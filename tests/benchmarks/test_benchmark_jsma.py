"""The benchmark of JSMA runs at a tiny scale, with whichever peers are installed; its times are never asserted."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks import jsma


def test_rows_count_passes_and_judge_every_contender_alike(
    digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]
) -> None:
    x, y = (part[:4] for part in digits_test)
    runs = {name: call for name, call in jsma.contenders(1.0, 0.3, 4).items() if name.startswith("vauban")}
    target = (y + 1) % 10

    def cheat(network: nn.Module, x: Tensor, y: Tensor, target: Tensor) -> Tensor:
        network(x)
        return torch.stack([digits_test[0][digits_test[1] == t][0] for t in target])

    rows = jsma.compare(runs | {"cheat": cheat}, digits_cnn, x, y, rounds=1, clock=iter(range(1000)).__next__)
    assert [row[0] for row in rows] == ["vauban", "vauban, softmax", "vauban, softmax, both signs", "cheat"]
    assert rows[3][1] == "1.0 + 0.0"
    with torch.no_grad():
        images = cheat(digits_cnn, x, y, target)
        assert rows[3][4] == float((digits_cnn(images).argmax(1) == target).float().mean())
    for row in rows[:3]:
        forwards, backwards = (float(part) for part in str(row[1]).split(" + "))
        assert forwards > 0
        assert 0 < backwards <= (2 if row[0] == "vauban" else 1) * forwards
        assert row[3] == 1.0
