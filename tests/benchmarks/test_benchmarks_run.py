"""The benchmarks import and run at a tiny scale; what they measure is never asserted here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmarks.contenders import contests
from benchmarks.passes import Traced, replay
from benchmarks.timing import interleaved, ratio
from torch import Tensor, nn

import vauban as vb
from benchmarks import autoattack, detectors, overhead, peers, planted, probes, setting, tables
from vauban import Linf, attacks
from vauban.engine import BoundThreat, Oracle


@pytest.fixture
def tiny() -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    with torch.no_grad():
        net[1].weight.copy_(torch.linspace(-1, 1, 7840).mul(1e4).sin().view(10, 784))
        net[1].bias.zero_()
    return net.eval()


@pytest.fixture
def x() -> Tensor:
    return torch.arange(4 * 784).mul(37).remainder(256).div(255).view(4, 1, 28, 28)


@pytest.fixture
def y(tiny: nn.Module, x: Tensor) -> Tensor:
    return tiny(x).argmax(1)


def test_passes_counted_at_the_network_are_those_the_door_counts(tiny: nn.Module, x: Tensor, y: Tensor) -> None:
    traced = Traced(tiny)
    oracle = Oracle.open(BoundThreat(traced), x, y)
    traced.reset()  # opening the door probes the class count, which is no pass of the attack
    result = attacks.DeepFool(steps=3).run(oracle)
    assert traced.forwards == int(result.forwards.sum())
    assert traced.backwards == int(result.backwards.sum())


def test_a_replay_makes_the_recorded_passes(tiny: nn.Module, x: Tensor, y: Tensor) -> None:
    traced, again = Traced(tiny), Traced(tiny)
    attacks.DeepFool(steps=3).run(Oracle.open(BoundThreat(traced), x, y))
    replay(again, x, y, traced.trace)
    assert again.trace == traced.trace
    assert all(p.grad is None for p in tiny.parameters())


def test_every_contender_runs_in_every_round_but_the_slow_one() -> None:
    turns: list[str] = []
    tasks = {name: lambda name=name: turns.append(name) for name in ("a", "b", "slow")}
    seconds = interleaved(tasks, rounds=2, once=["slow"])
    assert turns == ["a", "b", "a", "b", "slow", "b", "a"]  # the first two unmeasured
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 2, "b": 2, "slow": 1}


def test_a_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    assert ratio({"a": [2.0, 30.0, 4.0], "b": [1.0, 10.0, 1.0]}, "a", "b") == 3.0


def test_overhead_lists_each_attack_with_its_passes(tiny: nn.Module, x: Tensor, y: Tensor) -> None:
    rows = overhead.overhead(tiny, x, y, rounds=1, only="PGD linf")
    assert [row[:4] for row in rows] == [["PGD linf", 4, "41", "40"]]  # and one image of the probe
    assert 0 < overhead.active_set(tiny, x, y)[2] < 1


def test_quality_puts_failures_at_infinity(tiny: nn.Module, x: Tensor, y: Tensor) -> None:
    contest = replace(contests()[0], reach=1.0)
    found = torch.tensor([0.0, 0.5, torch.inf, torch.inf])
    assert peers.quality(found, contest) == [0.5, 0.375, 0.5]
    assert peers.distances(tiny, x, y, x, contest.norm).isinf().all()


def test_rounding_inside_the_ball_stays_inside() -> None:
    """0.3 is 76.5 levels: plain rounding of x + 0.3 leaves the ball, the nearest level inside it is the 76th."""
    contest = contests()[0]
    x = torch.tensor([[100 / 255, 200 / 255]])
    images = x + torch.tensor([[0.3, -0.3]])
    kept = peers.inside_ball(x, images, contest)
    assert (kept * 255).tolist() == [[pytest.approx(176), pytest.approx(124)]]
    assert float(contest.norm.size((images * 255).round() / 255 - x)) > contest.reach


def test_peers_runs_without_the_peers(tiny: nn.Module, x: Tensor, y: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "available", lambda package: False)
    for contest in contests(search=1, inner=2, ddn=3, deepfool=3):
        (row,) = peers.contest_rows(contest, tiny, x, y, rounds=1)
        assert row[:2] == [contest.name, "vauban"]
        assert row[4] == 1.0
        assert row[-1] == (row[8] if contest.in_a_ball else "–")


@pytest.mark.slow
def test_the_battery_is_judged_inside_the_ball(tiny: nn.Module, x: Tensor, y: Tensor) -> None:
    weak, strong = (autoattack.battery("standard", tiny, x, y, eps) for eps in (0.0, 0.5))
    assert not weak.broken.any()
    assert strong.broken.all()
    assert weak.forwards > strong.forwards


def test_without_mnist_the_digits_are_enlarged_and_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = setting.images(tmp_path)
    x, y = setting.first(data, 5)
    assert "no MNIST" in capsys.readouterr().out
    assert (data.name, x.shape, len(y)) == ("digits 28x28", (5, 1, 28, 28), 5)
    assert torch.equal((x * 255).round() / 255, x)


def test_a_section_of_the_file_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "performance.md"
    page.write_text("# Before\n\n<!-- peers -->\nold\n<!-- end peers -->\n\nafter\n")
    monkeypatch.setattr("sys.argv", ["peers", "--data-root", "/some/where", "--images", "3"])
    tables.publish("peers", tables.table(["a", "b"], [["x", 0.5]]), "2 cores", page)
    text = page.read_text()
    assert "old" not in text
    assert "/some/where" not in text
    assert "`python -m benchmarks.peers --data-root DATA --images 3`" in text
    assert "| x | 0.500 |" in text
    assert text.startswith("# Before")
    assert text.rstrip().endswith("after")


def test_adversarial_training_takes_images_of_the_ball(tiny: nn.Module, x: Tensor, y: Tensor) -> None:
    from vauban.core.contracts import Batch
    from vauban.engine.samples import as_samples

    before = tiny[1].weight.clone()
    autoattack.hardened(tiny, as_samples(Batch(x, y, torch.arange(4))), Linf(0.1).radius, epochs=1)
    assert not torch.equal(before, tiny[1].weight)


def test_the_probes_of_auto_are_tabled() -> None:
    row, alarm = probes.cell("digits-cnn", "digits/test[:20]", "linf", 0.02, None)
    assert row[:2] == ["digits-cnn", "linf 0.02"]
    assert (row[5], alarm) == ("nothing", False)


def test_the_planted_tests_of_sound_attacks_are_tabled() -> None:
    row, said = planted.cell("digits-cnn", "digits/test[:6]", "random-wrong|pgd:eps=0.1,steps=40", None)
    assert (row[0], row[4], said) == ("digits-cnn", "silent", "")
    row, said = planted.cell("digits-cnn", "digits/test[:6]", "ddn:steps=20@l2:0.8", None)
    assert row[1] == "ddn:steps=20@l2:0.8"


def test_the_second_stage_and_a_verdict_take_turns_with_their_passes(digits_mlp: nn.Module) -> None:
    name, share = detectors.second_stage(digits_mlp, vb.data.load("digits/train[:512]"), 1, "cpu")
    assert (name, share > 0) == ("second stage of s2snet, eight steps", True)
