"""The demonstration from declaration to files: numbers against an independent count, storing, resuming."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from vauban import data, models
from vauban.reproduce import Experiment, reproduce
from vauban.statistics.intervals import wilson

NETS = Path(__file__).with_name("nets.py")
DATA = data.load("digits/test[:10]")
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(registered: None, tmp_path: Path) -> Run:
    def go(name: str = "demo", **options: Any) -> dict[str, Any]:
        folder = reproduce(name, "smoke", tmp_path, **{"batch_size": 4, **options})
        return dict(json.loads((folder / "reproduction.json").read_text()))

    return go


def rows_of(folder: Path) -> dict[str, list[Any]]:
    """All parts of a folder, in order."""
    tables = [pq.read_table(path).to_pydict() for path in sorted(folder.glob("*.parquet"))]
    return {name: [v for table in tables for v in table[name]] for name in tables[0]}


def folder_of(root: Path, kind: str, **wanted: Any) -> Path:
    """The stored folder whose identity has the wanted values."""
    found = [
        path.parent
        for path in root.glob(f"{kind}/*/identity.json")
        if all(json.loads(path.read_text())[k] == v for k, v in wanted.items())
    ]
    assert len(found) == 1
    return found[0]


def decoded(saved: list[bytes]) -> torch.Tensor:
    return torch.tensor(np.stack([np.array(Image.open(io.BytesIO(png))) for png in saved]))[:, None].float() / 255


@pytest.mark.slow
def test_numbers_are_those_of_the_saved_images(run: Run, tmp_path: Path) -> None:
    told = run()
    network, rates, confidence = models.load(f"{NETS}:Means"), [], []
    for seed in (0, 1):
        rows = rows_of(folder_of(tmp_path, "crafted", targeted=True, seed=seed))
        assert (rows["id"], rows["y"]) == (DATA.rows.tolist(), DATA.y.tolist())
        assert set(rows["backwards"]) == {4}
        x = decoded(rows["image"])
        change = (x - DATA.all().x).abs().flatten(1).amax(1)
        assert torch.allclose(change.double(), torch.tensor(rows["linf"], dtype=torch.float64), atol=1e-6)
        assert 0 < float(change.max()) <= 80 / 255 + 1e-6
        logits, target = network(x), torch.tensor(rows["target"])
        rates.append(float((logits.argmax(1) == target).double().mean()))
        confidence.append(float(logits.softmax(1).gather(1, target[:, None]).double().mean()))
    clean, success, mean, other = told["rows"]
    assert 0 < sum(rates) < 2
    accuracy = float((network(DATA.all().x).argmax(1) == DATA.y).double().mean())
    assert (clean["ours"], clean["printed"], clean["n"]) == (accuracy, 0.9, 10)
    assert clean["per_seed"] == [accuracy]
    assert (success["per_seed"], success["printed"]) == (rates, 0.5)
    assert success["ours"] == pytest.approx(sum(rates) / 2)
    assert (success["low"], success["high"]) == pytest.approx(tuple(wilson(5 * sum(rates), 10)))
    assert mean["per_seed"] == pytest.approx(confidence, abs=1e-6)
    assert mean["low"] <= mean["ours"] <= mean["high"]
    assert (other["printed"], other["certain"], other["reason"]) == (None, False, "not scored")
    assert {row["reason"] for row in told["rows"][:3]} == {"different setting"}


@pytest.mark.slow
def test_vote_beyond_the_paper(run: Run, tmp_path: Path) -> None:
    """The plurality of three networks behind 3 bits, counted by hand."""
    told = run()
    nets = [models.load(f"{NETS}:Means{more}") for more in ("", ":every=9", ":every=25")]
    rates = []
    for seed in (0, 1):
        x = decoded(rows_of(folder_of(tmp_path, "crafted", targeted=False, seed=seed))["image"])
        x = (x * 7).round() / 7
        wrong = 0
        for i, y in enumerate(DATA.y.tolist()):
            p = torch.stack([net(x[i : i + 1]).softmax(1)[0] for net in nets])
            votes = p.argmax(1).tolist()
            wrong += max(set(votes), key=lambda k: (votes.count(k), float(p[:, k].sum()))) != y
        rates.append(wrong / 10)
    (row,) = told["beyond"]
    assert (row["label"], row["per_seed"], row["printed"]) == ("vote behind 3 bits", rates, None)


@pytest.mark.slow
def test_what_is_told(run: Run, tmp_path: Path) -> None:
    told = run(images=9, command="vauban reproduce demo")
    assert (told["images"], told["seeds"], told["setting"]) == (9, [0, 1], "stand-in")
    assert any("9 of the 10 images" in note for note in told["notes"])
    assert set(told["models"]) == {"A", "B", "C"}
    assert len({m["fingerprint"] for m in told["models"].values()}) == 3
    assert told["minutes"] > 0
    assert told["pictures"]
    for name in ("report.html", "table.md"):
        assert (tmp_path / "demo-smoke" / name).stat().st_size > 100


def stored(root: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(root.rglob("*.parquet"))}


@pytest.mark.slow
def test_a_finished_run_is_not_repeated(run: Run, tmp_path: Path) -> None:
    first, before = run(), stored(tmp_path)
    assert len(list(tmp_path.glob("crafted/*"))) == 4  # two crafts, two seeds
    assert (
        len(list(tmp_path.glob("judged/*"))) == 1 + 2 + 2 + 2
    )  # clean, A, B and the vote: two metrics of A share rows
    again = run()
    assert stored(tmp_path) == before
    assert again["rows"] == first["rows"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["crafted", "judged"])
def test_a_lost_or_damaged_part_is_made_again_and_no_other(run: Run, tmp_path: Path, kind: str) -> None:
    first, before = run(), stored(tmp_path)
    lost, damaged = (path for path in sorted(tmp_path.glob(f"{kind}/*/00001.parquet"))[:2])
    lost.unlink()
    damaged.write_bytes(b"torn")
    again, after = run(), stored(tmp_path)
    assert again["rows"] == first["rows"]
    assert {path for path in before if after[path][0] != before[path][0]} == {lost, damaged}
    if kind == "crafted":
        for path in (lost, damaged):
            assert rows_of(path.parent)["image"] == [
                png
                for name, (_, raw) in sorted(before.items())
                if name.parent == path.parent
                for png in pq.read_table(io.BytesIO(raw))["image"].to_pylist()
            ]


@pytest.mark.slow
def test_other_images_are_judged_again(run: Run, tmp_path: Path) -> None:
    """A judged part goes with the images it was judged on, not only with their folder's name."""
    first = run()
    folder = folder_of(tmp_path, "crafted", targeted=True, seed=0)
    clean = [pq.read_table(folder / "00000.parquet"), DATA.take(4).x]
    buffers = []
    for pixels in (clean[1][:, 0] * 255).round().to(torch.uint8).numpy():
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG")
        buffers.append(buffer.getvalue())
    table = clean[0]
    index = table.schema.get_field_index("image")
    pq.write_table(table.set_column(index, table.schema.field(index), [buffers]), folder / "00000.parquet")
    confidence = run()["rows"][2]["per_seed"][0]
    assert confidence < first["rows"][2]["per_seed"][0]


@pytest.mark.slow
def test_two_experiments_share_crafts(run: Run, register: Any, tmp_path: Path) -> None:
    from vauban.reproduce import load

    demo: Experiment = load("demo")
    run()
    before = stored(tmp_path)
    register(replace(demo, id="other", cells=lambda scale: list(demo.cells(scale))[1:4]))
    run("other")
    assert stored(tmp_path) == before


@pytest.mark.slow
def test_targets_do_not_depend_on_batches_or_seeds(run: Run, tmp_path: Path) -> None:
    run()
    run(batch_size=3)
    found = {tuple(rows_of(path)["target"]) for path in tmp_path.glob("crafted/*")}
    assert len(found) == 1
    (targets,) = found
    assert all(t != y for t, y in zip(targets, DATA.y.tolist(), strict=True))


def test_the_targets_of_the_data_set_are_taken(tmp_path: Path) -> None:
    from vauban.reproduce.context import Context
    from vauban.reproduce.networks import Networks

    wanted = (DATA.y + 3) % 10
    context = Context(replace(DATA, targets=wanted), Networks({}), tmp_path, 4)
    assert torch.equal(context.targets, wanted)
    assert torch.equal(context.batch(torch.tensor([2, 5]))[1], wanted[[2, 5]])
