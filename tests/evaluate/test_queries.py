"""Studies of black boxes: default threats, the number of images sent and its limit, drift, and secrets that stay secret."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.models.onnx_files import linear
from tests.models.served import Served, served

import vauban as vb
from vauban.cli import main
from vauban.core.errors import AccessError, ContractError, QueriesSpent
from vauban.evaluate.inspection.bundle import inspect
from vauban.evaluate.inspection.digests import digest_checks
from vauban.evaluate.study import Study
from vauban.store.query_ledger import QueryLedger

TOKEN = "hush-4f81d"
W = np.random.default_rng(0).normal(size=(64, 10)) * 0.3
DATA = "digits/test[:12]"


def scores(images: Any) -> Any:
    return (np.asarray(images, dtype=np.float64).reshape(len(images), -1) @ W).tolist()


def steady(images: Any) -> Any:
    """Always class 3, a little surer where the image is bright."""
    z = np.zeros((len(images), 10))
    z[:, 3] = 5 + np.asarray(images).reshape(len(images), -1).mean(1)
    return z.tolist()


@pytest.fixture
def service() -> Iterator[Served]:
    with served(scores) as open_service:
        yield open_service


def study(out: Path, url: str, attack: str = "square:eps=0.2,steps=8", **words: Any) -> Study:
    return Study(out, **{"data": DATA, "models": url, "attacks": attack, "labels": "own", "batch_size": 4, **words})


def test_without_a_named_threat_a_black_box_is_attacked_by_what_it_tells(service: Served, tmp_path: Path) -> None:
    standard = "standard:eps=0.2,blind_queries=5"
    threats = {"": "scores-only", ",answers=labels,classes=10": "labels-only", ",top=3,classes=10": "scores-only"}
    for words, threat in threats.items():
        (cell,) = study(tmp_path / "run", service.url + words, standard, labels="true").cells
        assert cell.threat_name == threat
    with pytest.raises(AccessError, match=r"pgd.*does not grant gradients.*the network only answers"):
        study(tmp_path / "run", service.url, "pgd:eps=0.1", labels="true", threats="white-box")
    with pytest.raises(AccessError, match="does not grant scores"):
        study(tmp_path / "run", f"{service.url},answers=labels,classes=10", threats="scores-only", labels="true")
    assert not service.requests
    assert not (tmp_path / "run").exists()
    batch = vb.data.load(DATA).all()
    report = vb.attack("pgd:eps=0.3,steps=2", service.url, batch, threat="transfer:sources=[digits-cnn]")
    assert report.evaluated.result.backwards.max() == 2
    assert report.evaluated.verdict.label.tolist() == np.argmax(scores(report.evaluated.image), 1).tolist()


def test_auto_attacks_a_black_box_by_its_answers_and_by_a_network_distilled_from_them(
    service: Served, tmp_path: Path
) -> None:
    queried, distilled = study(tmp_path / "run", service.url, labels="true", threats="auto").cells
    assert (queried.threat_name, queried.threat.grants) == ("auto:queries", {"scores", "labels"})
    assert distilled.threat_name == "auto:distilled(student)"
    assert len(distilled.threat.sources) == 1
    asked = service.images
    assert asked >= 32 * len(vb.data.load(DATA))  # five rounds
    study(tmp_path / "run", service.url, labels="true", threats="auto")
    assert service.images == asked + 1 + 8  # the number of classes, and whether the kept network is still of this model


@pytest.mark.slow
def test_the_expected_number_is_a_bound_and_every_image_is_counted(tmp_path: Path) -> None:
    with served(steady) as service:
        run = study(tmp_path / "run", service.url, threats=["scores-only", "labels-only"], attack="rays:steps=20")
        labelled = service.images
        asked = run.expected_queries
        assert asked is not None
        assert asked.unknown == 0
        assert run.ledger.sent == labelled == 12
        run.run(progress=False)
        sent = run.ledger.sent
        assert sent == service.images
        assert 0.8 * asked.images <= sent - labelled <= asked.images
        again = study(tmp_path / "run", service.url, threats=["scores-only", "labels-only"], attack="rays:steps=20")
        again.run(progress=False)
        assert service.images - sent == 12 + 2 * 4  # labels, and the first images of each cell


@pytest.mark.slow
def test_a_run_stops_at_its_limit_keeps_its_batches_and_goes_on(service: Served, tmp_path: Path) -> None:
    whole = study(tmp_path / "whole", service.url)
    whole.run(progress=False)
    total = whole.ledger.sent
    limit = total - 40
    cut = study(tmp_path / "cut", service.url, max_queries_total=limit)
    with pytest.raises(QueriesSpent, match=f"stopped after .* of the {limit}"):
        cut.run(progress=False)
    assert cut.ledger.sent <= limit
    (cell,) = cut.store.cells()
    assert 0 < len(cell.indices()) < 3
    with pytest.raises(QueriesSpent):  # what was sent before counts
        study(tmp_path / "cut", service.url, max_queries_total=limit, labels="true").run(progress=False)
    done = study(tmp_path / "cut", service.url, max_queries_total=3 * total)
    done.run(progress=False)
    assert _rows(done) == _rows(whole)


@pytest.mark.slow
def test_a_command_that_stops_at_its_limit_leaves_a_page_of_what_is_stored(
    service: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--model", service.url, "--data", DATA, "--attack", "square:eps=0.2,steps=8"]
    words += ["--batch-size", "4", "--no-preflight", "--labels", "own"]
    for limit, name in ((1, "none"), (90, "some")):  # some 50 questions a batch
        out = tmp_path / name
        monkeypatch.setattr(sys, "argv", ["vauban", *words, "--out", str(out), "--max-queries-total", str(limit)])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 3
        assert "stopped after" in capsys.readouterr().err
        assert (out / "report.html").exists() is (name == "some")
    assert "incomplete, 4 of 12" in (tmp_path / "some" / "report.html").read_text()


def _rows(run: Study) -> list[dict[str, Any]]:
    (cell,) = [cell for cell in run.store.cells() if cell.key in {planned.hash for planned in run.cells}]
    return [part.rows.drop_columns(["clean_png", "adv_png"]).to_pydict() for part in cell.read()]


@pytest.mark.slow
def test_workers_share_the_count_and_the_secret_is_nowhere(
    service: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    monkeypatch.setenv("HUSH", TOKEN)
    url = f"{service.url},token=env:HUSH,headers=[X-Team=env:HUSH]"
    caplog.set_level(logging.DEBUG)
    weights = W.astype(np.float32)
    file = linear(tmp_path / "net.onnx", weights, (1, 8, 8))
    words: list[str] = [
        "vauban",
        "evaluate",
        "--model",
        url,
        "--model",
        f"onnx:{file}",
        "--data",
        "digits/test[:4]",
        "--batch-size",
        "2",
    ]
    words += ["--attack", "square:eps=0.2,steps=4", "--no-preflight", "--out", str(tmp_path / "run"), "--workers", "2"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    assert all(headers["Authorization"] == f"Bearer {TOKEN}" for headers, _ in service.requests)
    assert QueryLedger(tmp_path / "run" / "queries.json").sent == 2 * service.images  # the file is the same network
    monkeypatch.setattr(sys, "argv", [*words, "--print-study"])
    with pytest.raises(SystemExit):
        main()
    service.replies = [(401, TOKEN.encode(), {})]
    monkeypatch.setattr(sys, "argv", [*words[:-2], "--seed", "1"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    out, err = capfd.readouterr()
    assert "images to be sent: at most" in out
    assert "401 Unauthorized" in err
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 5
    assert not [path for path in written if TOKEN.encode() in path.read_bytes()]
    assert TOKEN not in out + err + caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("moved", [False, True])
def test_answers_that_move_on_the_way_are_a_finding(moved: bool, tmp_path: Path) -> None:
    with served(scores) as service:
        run = study(tmp_path / "run", service.url, attack="square:eps=0.01,steps=2", max_queries_total=10**6)

        def tell(progress: Any) -> None:
            if moved and progress.done == progress.total:  # all rows are there
                service.answer = lambda images: (-np.array(scores(images))).tolist()

        run.run(tell)
    codes = {finding["code"]: finding["severity"] for finding in run.store.findings()}
    assert codes.get("answers-moved") == ("invalid" if moved else None)
    (cell,) = run.store.cells()
    facts = cell.drift()
    assert facts is not None
    assert facts["asked"] == 12
    assert facts["moved"] == (12 if moved else 0)
    assert {check.state for check in digest_checks(tmp_path / "run")} == {"agrees"}


def test_an_audit_asks_a_service_only_where_it_is_told_to(service: Served, tmp_path: Path) -> None:
    run = study(tmp_path / "run", service.url, attack="square:eps=0.05,steps=1", preflight=False, planted=0)
    run.run()
    asked = service.images
    checks = inspect(tmp_path / "run").checks
    assert service.images == asked
    silent = {check.subject: check.state for check in checks if "--ask-services" in check.reason}
    assert silent == {"data": "unchecked", "images": "unchecked"}
    checks = inspect(tmp_path / "run", ask_services=True).checks
    assert service.images > asked
    assert {check.state for check in checks if check.subject in ("data", "images")} == {"agrees"}


def test_a_dry_run_asks_nothing_and_a_limit_needs_a_black_box(service: Served, tmp_path: Path, capsys: Any) -> None:
    run = study(tmp_path / "run", service.url, labels="true", max_queries_total=40)
    asked = run.expected_queries
    assert asked is not None
    assert "the run stops at 40 in all, and a batch may take" in asked.sentence
    from vauban.cli.screens import show_plan

    show_plan(run)
    assert "images to be sent: at most" in capsys.readouterr().out
    assert not service.requests
    assert not (tmp_path / "run").exists()
    with pytest.raises(ContractError, match="asked by queries"):
        study(tmp_path / "run", "digits-cnn", labels="true", max_queries_total=50)


def test_coarse_scores_are_a_finding() -> None:
    from vauban.evaluate.diagnostics.preflight import before

    images = vb.data.load(DATA).all()
    for digits, told in ((None, False), (0, True)):
        box = vb.models.black_box(lambda x: np.array(scores(x)) / 100, digits=digits)
        threat = vb.threats.scores_only().bind(box, levels=256)
        codes = {finding.code for finding in before(threat, images.x, images.y, vb.Untargeted(), seed=0)}
        assert ("flat-scores" in codes) is told


def test_counts_survive_processes_and_refusals(tmp_path: Path) -> None:
    first, second = QueryLedger(tmp_path / "a" / "queries.json", 10), QueryLedger(tmp_path / "a" / "queries.json", 10)
    first.spend(6)
    with pytest.raises(QueriesSpent):
        second.spend(5)
    assert (second.sent, first.refused) == (6, True)
    second.begin()
    second.spend(4)
    assert (first.sent, first.refused) == (10, False)
