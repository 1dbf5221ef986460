"""Leaderboard: ranks that follow from rows made by hand, refusals by name, and what is never ranked above."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vauban.core.errors import ContractError
from vauban.report.leaderboard import page
from vauban.report.leaderboard.ranking import leaderboard
from vauban.statistics.intervals import paired_difference
from vauban.store import Store, load

N = 200
META = {
    "data": "digits/test",
    "data_fingerprint": "a" * 64,
    "threat": "white-box",
    "attack": "pgd:steps=40,eps=8/255",
    "goal": "untargeted",
    "norm": "linf",
    "eps": 8 / 255,
    "levels": 256,
    "params": {"attack": {"steps": 40}, "threat": {"draws": 1, "budget": None}},
    "n": N,
}


def columns(broken, ids):
    """Every image right before the attack, the first `broken` wrong after it."""
    n, hit = len(ids), np.arange(len(ids)) < broken
    distance = np.where(hit, 8 / 255, np.inf)
    return {
        **{
            "id": ids,
            "y": ids % 10,
            "clean_label": ids % 10,
            "clean_correct": np.ones(n),
            "clean_confidence": np.ones(n),
        },
        **{"adv_label": (ids + hit) % 10, "adv_confidence": np.ones(n), "misclassified": hit.astype(float)},
        **{"reached": hit.astype(float), "success": hit, "raw_success": hit},
        **dict.fromkeys(("l0", "l1", "l2", "linf", "raw_l2", "raw_linf"), distance),
        **dict.fromkeys(("forwards", "backwards", "switches", "vanished"), np.full(n, 40)),
    }


def run_of(folder, networks, ids=None, **facts):
    """A finished run: of each network how many images are broken, and the codes of its invalid findings."""
    store, keys = Store(folder), []
    ids = np.arange(N) if ids is None else ids
    for number, (model, (broken, codes)) in enumerate(networks.items()):
        name, _, defence = model.partition("|")
        cell = store.cell(f"{number}cafe")
        cell.create({**META, "model": name, "defence": defence or "none", **facts, "n": len(ids)})
        cell.append(0, columns(broken, ids))
        cell.write_findings([{"code": code, "severity": "invalid", "message": "masked"} for code in codes])
        keys.append(cell.key)
    store.write_study({"cells": keys})
    return folder


def ranked(*folders):
    return leaderboard([load(folder, pictures=False) for folder in folders])


def test_ranks_follow_from_the_rows_and_ties_from_paired_intervals(tmp_path):
    first = run_of(tmp_path / "a", {"best": (60, ()), "middle": (70, ()), "worst|jpeg": (150, ())})
    second = run_of(tmp_path / "b", {"other": (61, ()), "masked": (0, ("nothing-changed",))})
    board = ranked(first, second)
    (ranking,) = board.rankings
    lines = {line.contender.model: line for line in ranking.lines}
    assert [line.contender.model for line in ranking.lines] == ["best", "other", "middle", "worst", "masked"]
    assert lines["best"].robust.value == pytest.approx(1 - 60 / N)
    right = {broken: np.arange(N) >= broken for broken in (60, 61, 70)}
    assert (
        paired_difference(right[60], right[61]).low <= 0 < paired_difference(right[61], right[70]).low
    )  # by the formula
    assert {name: line.rank for name, line in lines.items()} == {
        "best": 1,
        "other": 1,
        "middle": 3,
        "worst": 4,
        "masked": None,
    }
    assert [lines[name].tied for name in ("best", "other", "middle", "worst")] == [(2,), (1,), (), ()]
    assert (ranking.budget, board.images, board.attacks) == ("L∞ 8/255", N, ("pgd steps=40 eps=8/255",))


def test_an_invalid_number_is_shown_and_never_ranked(tmp_path):
    board = ranked(run_of(tmp_path / "a", {"sound": (190, ()), "masked": (0, ("zero-gradients", "nothing-changed"))}))
    told = page.text(board)
    last = told[: told.index("Rank: one")].strip().splitlines()[-1]
    assert last.startswith("| – | masked | none | 100.0")
    assert "invalid: nothing-changed, zero-gradients" in last
    written = page.write(board, tmp_path / "board.html").read_text()
    assert written.index("sound") < written.index("masked")
    assert "invalid: zero gradients" in written
    assert "not ranked" in written


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"levels": None}, "rounding, got 256 pixel levels in {a}; no rounding in {b}"),
        ({"precision": "bf16"}, "precision, got float32 in {a}; bf16 in {b}"),
        ({"norm": "l2"}, "norm, got L∞ in {a}; L2 in {b}"),
        ({"eps": 4 / 255}, "eps, got L∞ 8/255 in {a}; L∞ 4/255 in {b}"),
        ({"goal": "targeted:3"}, "goal, got untargeted in {a}; targeted:3 in {b}"),
        ({"data_fingerprint": "b" * 64}, "images, got content aaaaaaaa in {a}; content bbbbbbbb in {b}"),
        ({"ids": np.arange(1, N + 1)}, r"image set, got 200 images \(ids \w+\) in {a}; 200 images \(ids \w+\) in {b}"),
        (
            {"threat": "scores-only"},
            "threats, got the threats that follow from each network in {a}; scores-only in {b}",
        ),
        (
            {"attack": "pgd:steps=10,eps=8/255", "params": {"attack": {"steps": 10}}},
            "effort, got pgd:steps=40,eps=8/255 in {a}; pgd:steps=10,eps=8/255 in {b}",
        ),
        (
            {"params": {"attack": {"steps": 10}}},
            r"effort, got pgd:steps=40,eps=8/255 \(settings \w+\) in {a}; pgd:steps=40,eps=8/255 \(settings \w+\) in {b}",
        ),
        ({"params": {**META["params"], "threat": {"budget": 100}}}, r"effort, .*\(100 queries\) in {b}"),
    ],
)
def test_what_was_not_measured_alike_is_refused_by_name(tmp_path, facts, message):
    a = run_of(tmp_path / "a", {"one": (60, ())})
    b = run_of(tmp_path / "b", {"two": (60, ())}, **facts)
    with pytest.raises(ContractError, match="expected runs with the same " + message.format(a=a, b=b)) as caught:
        ranked(a, b)
    assert "\n" not in str(caught.value)


def test_other_labels_and_unfinished_runs_are_refused(tmp_path):
    a, b = (run_of(tmp_path / name, {"one": (60, ())}) for name in "ab")
    cell = Store(b).cells()[0]
    cell.append(0, {**columns(60, np.arange(N)), "y": (np.arange(N) + 1) % 10})
    with pytest.raises(ContractError, match=rf"the same labels, got labels \w+ in {a}; labels \w+ in {b}"):
        ranked(a, b)
    cell.append(0, columns(60, np.arange(N)) | {"id": np.arange(N) // 2})
    with pytest.raises(ContractError, match=rf"{b}: expected a finished run, got one without all of its rows"):
        ranked(a, b)


def test_the_command_prints_json_and_loads_no_torch(tmp_path):
    folder = run_of(tmp_path / "a", {"one": (60, ()), "two": (90, ())})
    script = (
        "import sys; from vauban import cli\n"
        f"sys.argv = ['vauban', 'leaderboard', {str(folder)!r}, '--json', '--out', {str(tmp_path / 'board.html')!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit as left:\n    assert not left.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    board = json.loads(done.stdout)
    assert [line["rank"] for line in board["rankings"][0]["networks"]] == [1, 2]
    assert board["rankings"][0]["networks"][1]["robust_accuracy"]["value"] == pytest.approx(1 - 90 / N)
    assert Path(tmp_path / "board.html").is_file()
