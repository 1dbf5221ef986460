"""What runs again and what does not: edited files, models that answer differently, failures, memory, saved images."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from vauban import data, models
from vauban.cli.screens import show_status
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.rng import seeded
from vauban.data.dataset import Dataset, InMemory
from vauban.evaluate.study import Study
from vauban.jobs.runner import Outcome
from vauban.store import query

NET = """
from pathlib import Path
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("w", torch.linspace(-1, 1, 640).sin().view(10, 64))

    def forward(self, x):
        with Path({calls!r}).open("a") as handle:
            handle.write("x")
        return {scale} * x.flatten(1) @ self.w.T
"""
ATTACK = """
from dataclasses import dataclass
from vauban.attacks.fixed_budget.pgd import PGD

@dataclass(frozen=True)
class Mine(PGD):
    steps: int = {steps}
"""


GATE: dict[str, Any] = {}
"""What happens to every call of a model: outside of it, as the weather of an HTTP endpoint."""


@pytest.fixture(autouse=True)
def _open_gate() -> Any:
    yield
    GATE.clear()


class Linear(nn.Module):
    """A linear classifier behind the gate."""

    def __init__(self) -> None:
        super().__init__()
        with seeded("resuming"):
            self.layer = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        if "hook" in GATE:
            GATE["hook"](x)
        return self.layer(x.flatten(1))


def endpoint(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1) @ GATE["weights"]


def study(out: Path, model: Any, **more: Any) -> Study:
    words = {"data": "digits/test[:12]", "attacks": ["pgd:steps=2,eps=0.1"], "batch_size": 4, "preflight": False}
    return Study(out, **{**words, "models": model, **more})


def rows(out: Path, index: int = 0) -> dict[str, list[Any]]:
    """The columns of a cell; a missing number is None, so that rows can be compared."""
    found = query.load(out).cells[index].columns
    return {name: [None if v != v else v for v in values.tolist()] for name, values in found.items()}


class Calls:
    """How often the model of a written file was called."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def count(self) -> int:
        return len(self.path.read_text()) if self.path.exists() else 0


@pytest.mark.slow
def test_an_edited_file_makes_new_rows_and_the_old_are_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, attack, calls = tmp_path / "net.py", tmp_path / "attack.py", Calls(tmp_path / "calls")
    net.write_text(NET.format(calls=str(calls.path), scale=20))
    attack.write_text(ATTACK.format(steps=2))

    def run() -> tuple[int, list[Outcome]]:
        before = calls.count()
        found = study(tmp_path / "run", f"{net}:Net", attacks=[f"{attack}:Mine:eps=0.1"]).run()
        return calls.count() - before, found

    first, outcomes = run()
    probes, again = run()
    assert again[0].job.key == outcomes[0].job.key
    assert first > 6 > probes == 1  # only the probe of four samples
    attack.write_text(ATTACK.format(steps=3))
    spent, edited = run()
    assert spent > 6
    assert edited[0].job.key != outcomes[0].job.key
    net.write_text(NET.format(calls=str(calls.path), scale=20) + "\n# a comment changes no row\n")
    spent, commented = run()
    assert spent == probes
    assert commented[0].job.key == edited[0].job.key
    net.write_text(NET.format(calls=str(calls.path), scale=-20))
    spent, turned = run()
    assert spent > 6
    show_status(tmp_path / "run")
    told = capsys.readouterr().out
    assert told.count("stale: ") == 2
    assert "attack.py" in told
    assert "net.py" in told
    assert "1 complete, 2 stale" in told or "2 stale, 1 complete" in told
    stale = {cell.meta["hash"] for cell in query.load(tmp_path / "run").cells if cell.stale}
    assert stale == {outcomes[0].job.key, edited[0].job.key}
    page = study(tmp_path / "run", f"{net}:Net", attacks=[f"{attack}:Mine:eps=0.1"]).report().read_text()
    assert "stale" in page
    assert turned[0].job.key not in stale


def test_an_edited_loss_and_helper_make_new_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    helper = tmp_path / "vauban_test_helper.py"
    helper.write_text("def twice(value):\n    return 2 * value\n")
    loss = tmp_path / "loss.py"
    loss.write_text(
        "from vauban_test_helper import twice\nfrom vauban.core.losses import cross_entropy\n"
        "def mine(logits, aim):\n    return twice(cross_entropy(logits, aim))\n"
    )
    attack = [f"pgd:steps=2,eps=0.1,loss={loss}:mine"]
    one = study(tmp_path / "run", Linear(), attacks=attack).cells[0]
    assert {"loss.py", "vauban_test_helper.py"} <= {Path(name).name for name in one.meta()["sources"]}
    helper.write_text("def twice(value):\n    return value + value\n")
    assert study(tmp_path / "run", Linear(), attacks=attack).cells[0].hash != one.hash


@pytest.mark.slow
def test_an_oracle_that_answers_differently_starts_a_new_cell(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    GATE["weights"] = np.sin(np.arange(640.0)).reshape(64, 10)

    def run() -> str:
        caplog.clear()
        words = {"threats": ["scores-only"], "attacks": ["random-noise:eps=0.2"]}
        return study(tmp_path, models.black_box(endpoint), **words).run()[0].job.key

    first = run()
    assert run() == first
    assert not caplog.records
    GATE["weights"] = GATE["weights"][::-1]
    second = run()
    assert second != first
    assert len([r for r in caplog.records if "answers differently" in r.message]) == 1
    assert run() == second  # found again, nothing to tell
    assert not caplog.records
    GATE["weights"] = GATE["weights"] * 1.5
    third = run()
    assert len([r for r in caplog.records if "answers differently" in r.message]) == 1
    assert len({first, second, third}) == 3
    assert query.load(tmp_path).study["cells"] == [third]
    assert all(cell.complete for cell in query.load(tmp_path).cells)


def test_a_model_that_gives_nan_is_run_and_resumed(tmp_path: Path) -> None:
    class NaN(Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).where(torch.arange(10) != 3, torch.nan)

    first = study(tmp_path, NaN()).run()
    again = study(tmp_path, NaN()).run()
    assert [o.job.key for o in first] == [o.job.key for o in again]
    assert len(query.load(tmp_path).cells) == 1
    assert not any(rows(tmp_path)["clean_correct"])  # an error of the network, before any attack


def test_a_failure_is_recorded_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    second = data.load("digits/test[4:8]").all().x

    def fail(x: Tensor) -> None:
        if len(x) == 4 and torch.equal(x, second):
            raise OSError("the endpoint\nis down")

    GATE["hook"] = fail
    (outcome,) = study(broken, Linear()).run()
    GATE.clear()
    assert (outcome.state, outcome.failures) == ("failed", 1)
    assert "batch 1 failed: OSError: the endpoint (recorded" in caplog.text
    (cell,) = query.load(broken).cells
    assert cell.columns["id"].tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert [f["index"] for f in cell.failures] == [1]
    assert "Traceback" in cell.failures[0]["traceback"]
    ran: list[int] = []
    (outcome,) = study(broken, Linear()).run(lambda p: ran.append(p.done) if p.columns is not None else None)
    assert (outcome.state, ran) == ("finished", [8])
    study(whole, Linear()).run()
    assert rows(broken) == rows(whole)
    assert not query.load(broken).cells[0].failures


def test_a_bad_batch_ends_the_run_and_keeps_the_others(tmp_path: Path) -> None:
    clean = data.load("digits/test[:12]")
    pixels = clean.all().x.clone()
    pixels[9, 0, 3, 3] = torch.nan
    bad = Dataset("bad", "", InMemory(pixels), clean.y, clean.class_names)
    with pytest.raises(ContractError, match="NaN"):
        study(tmp_path, Linear(), data=bad).run()
    (cell,) = query.load(tmp_path).cells
    assert cell.columns["id"].tolist() == list(range(8))


@pytest.mark.slow
def test_memory_that_runs_out_halves_the_batch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []

    def small(x: Tensor) -> None:
        if len(x) > 5:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"
            )
        seen.append(len(x))

    big = {"batch_size": 12, "attacks": ["pgd:steps=2,eps=0.1", "fgsm:eps=0.1"], "preflight": True}
    GATE["hook"] = small
    outcomes = study(tmp_path / "small", Linear(), **big).run()
    GATE.clear()
    assert [o.state for o in outcomes] == ["finished"] * 2
    assert max(seen) <= 5
    assert "out of memory with 12 samples; trying 6" in caplog.text
    study(tmp_path / "large", Linear(), **big).run()
    for i in range(2):
        mine, whole = rows(tmp_path / "small", i), rows(tmp_path / "large", i)
        assert mine.pop("id") == whole.pop("id") == list(range(12))
        for name in ("clean_confidence", "adv_confidence"):  # sums in another order
            assert mine.pop(name) == pytest.approx(whole.pop(name), rel=1e-5)
        assert mine == whole


def test_another_error_is_not_taken_for_memory(tmp_path: Path) -> None:
    def fail(x: Tensor) -> None:
        if len(x) > 4:
            raise RuntimeError("shapes cannot be multiplied")

    GATE["hook"] = fail
    (outcome,) = study(tmp_path, Linear(), batch_size=12).run()
    assert outcome.failures == 1


def test_a_preflight_that_fails_does_not_end_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    left = [0]

    def fail(x: Tensor) -> None:
        left[0] += 1
        if left[0] == 3:
            raise OSError("down for a moment")

    GATE["hook"] = fail
    (outcome,) = study(tmp_path, Linear(), preflight=True, threats="adaptive").run()
    assert outcome.state == "finished"
    assert "preflight failed: OSError: down for a moment" in caplog.text
    assert not query.load(tmp_path).cells[0].checked


def test_saved_images_are_the_ones_that_were_judged(tmp_path: Path) -> None:
    net = Linear()
    (outcome,) = study(tmp_path, net, save_images=True).run()
    cell = query.load(tmp_path).cells[0]
    folder = tmp_path / "images" / outcome.job.key
    saved = [(folder / f"{i}.png").read_bytes() for i in cell.columns["id"]]
    assert saved == cell.columns["adv_png"].tolist()
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(image))) for image in saved])
    x = torch.from_numpy(pixels)[:, None].float() / 255
    assert net(x).argmax(1).tolist() == cell.columns["adv_label"].tolist()
    clean = data.load("digits/test[:12]").all().x
    moved = (x - clean).flatten(1).abs().amax(1).double().numpy()
    won = cell.columns["success"]
    assert moved[won] == pytest.approx(cell.columns["linf"][won], abs=1e-6)


def test_images_can_be_saved_after_the_run(tmp_path: Path) -> None:
    study(tmp_path, Linear()).run()
    ran: list[Any] = []
    (outcome,) = study(tmp_path, Linear(), save_images=True).run(lambda p: ran.append(p.columns))
    assert ran == [None] * 3  # small images are in the store
    assert len(list((tmp_path / "images" / outcome.job.key).glob("*.png"))) == 12


def test_large_images_are_made_again_when_they_are_wanted(tmp_path: Path) -> None:
    class Large(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.mean((1, 2, 3)), 0.9 - x.mean((1, 2, 3))], 1) * 50

    x = (torch.arange(6 * 80 * 80) % 256).view(6, 1, 80, 80).to(torch.uint8)
    big = Dataset("big", "", InMemory(x), torch.tensor([0, 1, 0, 1, 0, 1]), ("a", "b"))
    words = {"data": big, "attacks": ["fgsm:eps=0.2"], "batch_size": 3}
    study(tmp_path, Large(), **words).run()
    before = rows(tmp_path)
    assert None in before["adv_png"]
    (outcome,) = study(tmp_path, Large(), **words, save_images=True).run()
    after = rows(tmp_path)
    assert len(list((tmp_path / "images" / outcome.job.key).glob("*.png"))) == 6
    for name in before:
        if not name.endswith("png"):
            assert before[name] == after[name], name


def test_vectors_have_no_images_to_save(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 2))
    words = {"data": "moons:n=8", "attacks": ["pgd:steps=2"], "save_images": True}
    study(tmp_path, net, **words).run()
    ran: list[Any] = []
    study(tmp_path, net, **words).run(lambda p: ran.append(p.columns))
    assert ran == [None, None]


def test_labels_may_be_the_models_own(tmp_path: Path) -> None:
    net = Linear()
    study(tmp_path, net, labels="own").run()
    found = rows(tmp_path)
    assert found["y"] == net(data.load("digits/test[:12]").all().x).argmax(1).tolist()
    assert found["clean_correct"] == [1.0] * 12


def test_own_labels_of_a_random_model_are_the_same_at_every_start(tmp_path: Path) -> None:
    class Random(Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.randn(len(x), 10)

    keys = [study(tmp_path, Random(), labels="own").cells[0].hash for _ in range(2)]
    assert keys[0] == keys[1]


def test_a_random_model_is_found_and_its_cell_resumed(tmp_path: Path) -> None:
    class Random(Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.randn(len(x), 10)

    first = study(tmp_path, Random(), preflight=True).run()
    ran: list[Any] = []
    again = study(tmp_path, Random(), preflight=True).run(lambda p: ran.append(p.columns))
    assert first[0].job.cell.threat.randomised
    assert [o.job.key for o in first] == [o.job.key for o in again]
    assert ran == [None] * 3


def test_a_cell_tells_the_tolerance_of_its_distances(tmp_path: Path) -> None:
    study(tmp_path, Linear()).run()
    (stored,) = query.load(tmp_path).cells
    assert (stored.meta["dtype"], stored.meta["tolerance"]) == ("float32", 1e-6)


def test_a_corrupt_part_is_done_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    study(tmp_path, Linear()).run()
    before = rows(tmp_path)
    (part,) = tmp_path.glob("cells/*/parts/00001.parquet")
    part.write_bytes(part.read_bytes()[:-40] + b"x" * 40)
    ran: list[int] = []
    study(tmp_path, Linear()).run(lambda p: ran.append(p.done) if p.columns is not None else None)
    assert ran == [8]
    assert caplog.text.count("expected a Parquet part") == 1
    assert rows(tmp_path) == before


def test_a_batch_of_a_loaded_set_has_its_ids(tmp_path: Path) -> None:
    study(tmp_path, Linear(), data="digits/test[3:9:2]").run()
    assert rows(tmp_path)["id"] == [3, 5, 7]
    assert isinstance(data.load("digits/test[3:9:2]").all(), Batch)


@pytest.mark.slow
def test_a_model_that_rarely_draws_is_run_under_its_own_seeds(tmp_path: Path) -> None:
    class Rare(Linear):
        """Draws at every call, and answers differently once in fifty."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + 50 * (torch.rand(len(x), 10) < 0.002)

    state = torch.get_rng_state()
    (outcome,) = study(tmp_path / "one", Rare(), preflight=True).run()
    assert outcome.job.cell.threat.randomised
    assert torch.equal(torch.get_rng_state(), state)
    study(tmp_path / "two", Rare(), preflight=True).run()
    assert rows(tmp_path / "one") == rows(tmp_path / "two")


def test_own_labels_and_the_probe_are_asked_in_halves_where_memory_runs_out(tmp_path: Path) -> None:
    class Narrow(Linear):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 2:
                raise MemoryError("cannot hold so many")
            return super().forward(x)

    class Refusing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise MemoryError("cannot hold one")

    narrow, wide = (study(tmp_path / type(net).__name__, net, labels="own") for net in (Narrow(), Linear()))
    (outcome,) = narrow.run()
    wide.run()
    assert outcome.state == "finished"
    assert torch.equal(narrow.cells[0].data.y, wide.cells[0].data.y)
    assert torch.allclose(narrow.cells[0].probe, wide.cells[0].probe)
    with pytest.raises(MemoryError):
        study(tmp_path / "none", Refusing(), labels="own")
