"""Experiments of the keyed defence: their networks are the printed ones, keys can be a user's, attackers learn first."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from vauban import models
from vauban.attacks.blackbox.square import Square
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.errors import ContractError
from vauban.core.norms import Linf
from vauban.core.secret import Secret
from vauban.reproduce import Craft, Experiment, Judge, Scale, TableCell, TrainingRun, WeightedNetwork, load
from vauban.reproduce.figures import Matrix, Panel
from vauban.reproduce.harness import run
from vauban.reproduce.panels import needed
from vauban.reproduce.planned import Options, prepared
from vauban.reproduce.training_seeds import seeded_recipes, seeded_role
from vauban.threats.chosen_inputs import ChosenInputs

TABLE_1 = "Conv2D 64 8x8, ReLU, Conv2D 128 6x6, ReLU, Conv2D 128 5x5, ReLU, Flatten, Dense 10"
TABLE_2 = (
    "Conv2D {c1} 3x3, ReLU, Conv2D {c1} 3x3, ReLU, MaxPool 2x2, Conv2D {c2} 3x3, ReLU, Conv2D {c2} 3x3, ReLU, "
    "MaxPool 2x2, Flatten, Dense {h}, ReLU, Dropout, Dense {h}, ReLU, Dense 10"
)


def layers(text: str) -> str:
    """A network as the paper's tables print it."""
    printed = {
        nn.Conv2d: lambda m: f"Conv2D {m.out_channels} {m.kernel_size[0]}x{m.kernel_size[1]}",
        nn.ReLU: lambda m: "ReLU",
        nn.MaxPool2d: lambda m: f"MaxPool {m.kernel_size}x{m.kernel_size}",
        nn.Flatten: lambda m: "Flatten",
        nn.Linear: lambda m: f"Dense {m.out_features}",
        nn.Dropout: lambda m: "Dropout",
    }
    return ", ".join(printed[type(module)](module) for module in models.build(text))


@pytest.mark.parametrize(
    ("data", "width"), [("mnist", {"c1": 32, "c2": 64, "h": 200}), ("fashion-mnist", {"c1": 64, "c2": 128, "h": 256})]
)
def test_tables_1_and_2_are_the_networks_at_scale_paper(data: str, width: dict[str, int]) -> None:
    """Layers as printed; data and settings as the paper says, or as the authors of the attacks train where it is silent."""
    scale = load(f"keyed-3-{data}").scales["paper"]
    for table, printed in (("Table 1", TABLE_1), ("Table 2", TABLE_2.format(**width))):
        for kind in ("classical", "permuted", "own key"):
            run = scale.recipes[f"{table} network, {kind}"]
            assert layers(run.model) == printed
            assert (run.data, run.holdout, run.batch) == (f"{data}/train[:55000]", 0, 128)
            expected = ("adam", 1e-3, 6) if table == "Table 1" else ("sgd", 0.01, 50)
            assert (run.optimiser, run.lr, run.epochs) == expected
            assert (run.defence == "none") == (kind == "classical")
    assert (scale.data, scale.images) == (f"{data}/test[:1000]", 1000)
    assert len({r.defence for r in seeded_recipes(scale).values() if r.defence != "none"}) == 2 * 5


def test_printed_errors_have_the_samples_that_they_are_multiples_of() -> None:
    """C&W on attacked images: 10 000; the others: 1000, of which every number is a multiple."""
    from vauban.reproduce.printed import rows_of

    for data in ("mnist", "fashion-mnist"):
        for row in rows_of(f"keyed-table3-{data}.csv"):
            n = int(row["n"])
            assert n == (10_000 if row["samples"] == "attacked" and row["attack"] != "FGSM" else 1000)
            assert abs(float(row["value"]) * n - round(float(row["value"]) * n)) < 1e-6


RUN = TrainingRun("digits-cnn", "digits/train[:200]", 2, lr=3e-3, holdout=0, defence="pixel-permutation:key={key}")
PGD3 = PGD(Linf(0.2), steps=3)
THROUGH = (WeightedNetwork("keyed"),)


def cells(scale: Scale) -> list[TableCell]:
    white = Craft(PGD3, THROUGH, targeted=False, saved="float")
    asked = replace(white, threat=ChosenInputs())
    square = replace(white, attack=Square(Linf(0.2), steps=50), keep="best", budget=7)
    crafts = {"leaked": white, "asked": asked, "square": square}
    return [TableCell(craft, Judge(("keyed",)), "misclassification_rate", {}, name) for name, craft in crafts.items()]


def experiment(**fields: object) -> Experiment:
    scale = Scale(
        "digits/test[:12]", {}, 12, (0,), 0.1, "stand-in", "twelve digits", {"keyed": RUN}, training_seeds=(0, 1)
    )
    return Experiment("keyed-trial", "A trial", "nobody", cells, {"smoke": replace(scale, **fields)}, None)  # type: ignore[arg-type]


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> None:
    from vauban.reproduce import registry

    monkeypatch.setattr(registry, "_entries", {})
    monkeypatch.setattr(registry, "_loaded", True)
    registry.register("keyed-trial")(experiment)


@pytest.mark.usefixtures("trial")
def test_who_has_asked_for_every_pixel_makes_the_images_of_a_leaked_key(tmp_path: Path) -> None:
    """The threat of a craft learns the order before it, so its gradients are those of the keyed network; budgets hold."""
    import pyarrow.parquet as pq

    plan = prepared("keyed-trial", "smoke", tmp_path, Options(batch_size=12))
    run("keyed-trial", "smoke", tmp_path, batch_size=12)
    leaked, asked, square = (
        [
            pq.read_table(next((tmp_path / "crafted" / job.key).glob("*.parquet"))).to_pydict()
            for (job,) in work.crafts
            if job
        ]
        for work in plan.work.cells
    )
    for one, other in zip(leaked, asked, strict=True):
        assert one["image"] == other["image"]
        assert max(one["linf"]) > 0.1
    for rows in square:
        assert 0 < max(rows["forwards"]) <= 7
    told = json.loads((tmp_path / "keyed-trial-smoke" / "reproduction.json").read_text())
    rates = {row["label"]: row["per_seed"] for row in told["beyond"]}
    assert rates["leaked"] == rates["asked"]
    assert len(rates["leaked"]) == 2


def panels(scale: Scale) -> list[Panel]:
    """One row for each seed's images, one column for each seed's network."""
    members = [seeded_role("keyed", seed) for seed in scale.training_seeds]
    crafts = {a: Craft(PGD3, (WeightedNetwork(a),), targeted=False, saved="float") for a in members}
    rows = {
        a: [TableCell(craft, Judge((b,)), "misclassification_rate", {}, f"{a}, {b}") for b in members]
        for a, craft in crafts.items()
    }
    return [Matrix("Every pair", ("made on", "answered by"), members, rows)]


@pytest.mark.usefixtures("trial")
def test_a_matrix_has_a_rate_for_every_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its diagonal is what the cells of each seed say; the page shows every value with its interval."""
    from vauban.reproduce import registry

    monkeypatch.setattr(registry, "_entries", {})
    registry.register("keyed-trial")(lambda: replace(experiment(), panels=panels))
    folder = run("keyed-trial", "smoke", tmp_path)
    told = json.loads((folder / "reproduction.json").read_text())
    (matrix,) = told["matrices"]
    assert (matrix["sides"], matrix["columns"]) == (["made on", "answered by"], ["keyed, seed 0", "keyed, seed 1"])
    values = [[value[0] for value in row["values"]] for row in matrix["rows"]]
    leaked = next(row["per_seed"] for row in told["beyond"] if row["label"] == "leaked")
    assert [values[0][0], values[1][1]] == leaked
    page = (folder / "report.html").read_text()
    assert "Every pair" in page
    assert all(f"{100 * value:.1f}" in page for row in values for value in row)
    wrong = Matrix("Lame", ("a", "b"), ["one"], {"r": []})
    with pytest.raises(ContractError, match="a rate for each of the 1 columns in 'Lame'"):
        needed([wrong])


def test_each_training_seed_has_a_key() -> None:
    scale = experiment().scales["smoke"]
    assert [r.defence.split("key=")[1] for r in seeded_recipes(scale).values()] == ["public:0", "public:1"]
    mine = replace(scale, keys=("env:A", "b.key"))
    assert [r.defence.split("key=")[1] for r in seeded_recipes(mine).values()] == ["env:A", "b.key"]
    with pytest.raises(ContractError, match="a key for each of 2 training seeds, got 1"):
        seeded_recipes(replace(scale, keys=("env:A",)))


@pytest.mark.usefixtures("trial")
def test_keys_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are taken by the name of their file or variable, in the order of the training seeds; mistakes cost nothing."""
    one, two = tmp_path / "one.key", Secret.new()
    Secret.new().write(one)
    monkeypatch.setenv("TWO", f"vauban-key-1:{'00' * 32}")
    plan = prepared("keyed-trial", "smoke", tmp_path / "out", Options(keys=(str(one), "env:TWO")))
    shown = str([network.identity() for job in plan.work.jobs() for network in job.needs() if hasattr(network, "run")])
    assert {Secret.read(one).id, Secret(bytes(32)).id} <= set(re.findall(r"[0-9a-f]{16}", shown))
    assert "here with keys of the user's" in plan.scale.note
    one.chmod(0o644)
    for keys, told in (
        ((str(one), "env:TWO"), "owner alone may read"),
        (("env:TWO",), r"--key once for each of the 2 training seeds .* got it 1 time"),
        (("env:TWO", str(tmp_path / "none.key")), "does not exist"),
    ):
        with pytest.raises(ContractError, match=told) as refusal:
            prepared("keyed-trial", "smoke", tmp_path / "out", Options(keys=keys))
        assert "\n" not in str(refusal.value)
        assert two.id not in str(refusal.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("trial")
def test_keys_where_nothing_is_keyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vauban.reproduce import registry

    monkeypatch.setattr(registry, "_entries", {})
    registry.register("keyed-trial")(lambda: experiment(recipes={"keyed": replace(RUN, defence="none")}))
    with pytest.raises(ContractError, match="behind keys for --key"):
        prepared("keyed-trial", "smoke", tmp_path, Options(keys=("public:1", "public:2")))


def test_a_threat_of_a_craft_stands_before_one_network() -> None:
    from vauban.reproduce.networks import Networks

    networks = Networks({"a": "digits-cnn", "b": "digits-cnn"})
    both = Craft(PGD3, (WeightedNetwork("a"), WeightedNetwork("b")), threat=ChosenInputs())
    for craft in (both, Craft(PGD3, (WeightedNetwork("a"),), draws=2, threat=ChosenInputs())):
        with pytest.raises(ContractError, match="one network behind no path, and draws=1"):
            networks.threat(craft)


def test_the_matrix_has_every_pair_of_keys() -> None:
    scale = load("keyed-fleet-mnist").scales["small"]
    made = list(load("keyed-fleet-mnist").cells(scale))
    pairs = {
        (cell.craft.through[0].network, cell.judge.networks[0])
        for cell in made
        if cell.craft is not None and len(cell.craft.through) == 1 and "permuted" in cell.craft.through[0].network
    }
    assert len(pairs) == 5 * 5
    assert {a == b for a, b in pairs} == {True, False}
    labels = {cell.label for cell in made}
    assert all({need.cell, need.than} <= labels for claim in load("keyed-fleet-mnist").claims for need in claim.needs)


@pytest.mark.parametrize(
    "name", ["keyed-3-mnist", "keyed-3-cifar10", "keyed-kerckhoffs-mnist", "keyed-queries-mnist", "keyed-family-mnist"]
)
def test_claims_name_cells_that_are_there(name: str) -> None:
    labels = {cell.label for cell in load(name).cells(load(name).scales["small"])}
    needs = [need for claim in load(name).claims for need in claim.needs]
    assert needs
    assert all(need.cell in labels and need.than in labels for need in needs)
    assert len(load(name).scales["small"].training_seeds) >= 5
