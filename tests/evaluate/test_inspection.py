"""A finished run checked again: what agrees, what was changed by hand, what a vauban of before did not record."""

import json
import shutil
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tests.models.onnx_files import linear
from torch import nn

from vauban import cli
from vauban.core.errors import ContractError
from vauban.core.rng import seeded
from vauban.core.secret import Secret
from vauban.evaluate.inspection.bundle import bundle, inspect
from vauban.evaluate.inspection.digests import NOT_RECORDED
from vauban.evaluate.study import Study
from vauban.models import weights
from vauban.store.ledger import LEDGER
from vauban.store.part import write_part

NET = """
from torch import nn

def tiny(width=6):
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36 * width, 10))
"""
N = 10


def made_in(folder):
    """A study of a user's network with weights of its own and of the built-in one, before and behind a defence."""
    (folder / "net.py").write_text(NET)
    with seeded("tests", "inspected"):
        net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 10))
    weights.save(net, folder / "own.safetensors", {"format": 1})
    models = [f"{folder}/net.py:tiny:weights={folder}/own.safetensors", "digits-cnn"]
    Study(
        folder / "run",
        data=f"digits/test[:{N}]",
        models=models,
        defences=["none", "bit-depth:bits=2"],
        threats="white-box",
        attacks="fgsm:eps=0.3",
        batch_size=6,
        preflight=False,
        save_images=True,
    ).run(progress=False)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return made_in(tmp_path_factory.mktemp("inspected"))


@pytest.fixture
def run(made, tmp_path):
    shutil.copytree(made / "run", tmp_path / "run")
    return tmp_path / "run"


def part_of(run):
    return sorted(run.glob("cells/*/parts/00001.parquet"))[0]


def told(inspection, state="differs"):
    return [(check.subject, check.about, check.reason) for check in inspection.of(state)]


def forge(run, column, value):
    """One value of a part, and its digest in the ledger: what a careful forger writes."""
    path = part_of(run)
    rows = pq.read_table(path)
    values = rows[column].to_pylist()
    values[2] = value(values[2])
    place = rows.schema.get_field_index(column)
    field = rows.schema.field(column)
    forged = rows.set_column(place, field, pa.array(values, field.type)).replace_schema_metadata(rows.schema.metadata)
    write_part(path, forged, path.parents[1])
    return path


def test_everything_agrees(made):
    inspection = inspect(made / "run")
    assert not inspection.of("differs")
    assert not inspection.of("unchecked")
    assert inspection.counted("images", "agrees") == 4 * N
    assert inspection.counted("rows", "agrees") == 1 + 4 * (1 + 2)  # the plan; of each cell the facts and two parts
    assert inspection.counted("weights", "agrees") == 4 + 1  # defended networks, and the weights file
    assert inspection.counted("data", "agrees") == 1
    assert {check.about for check in inspection.checks if check.subject == "environment"} >= {
        "python",
        "torch",
        "numpy",
    }


def test_the_words_make_the_run_again(made, tmp_path):
    study = json.loads((made / "run" / "study.json").read_text())
    again = Study(**{**study["words"], "out": str(tmp_path / "again")})
    assert [cell.hash for cell in again.cells] == study["cells"]
    assert set(study["files"]) == {f"{made}/net.py", f"{made}/own.safetensors"}


def test_a_flipped_byte_names_the_file(run):
    path = part_of(run)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    differing = told(inspect(run))
    assert ("rows", path.relative_to(run).as_posix()) in [line[:2] for line in differing]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("adv_label", lambda label: (label + 1) % 10, "adv_label is"),
        ("success", lambda success: not success, "success is"),
        ("y", lambda y: (y + 1) % 10, "the stored original is not the image of the data"),
        ("clean_png", lambda _: None, ""),
    ],
)
def test_a_forged_row_is_judged_again(run, column, value, reason):
    path = forge(run, column, value)
    inspection = inspect(run)
    assert not any("sha256" in line[2] for line in told(inspection))
    if not reason:
        assert ("images", path.parents[1].relative_to(run).as_posix()) in [
            line[:2] for line in told(inspection, "unchecked")
        ]
        return
    assert any(about == path.relative_to(run).as_posix() and reason in why for _, about, why in told(inspection))
    assert inspection.counted("images", "agrees") == 4 * N - 1


def test_a_missing_part_a_stray_one_and_a_changed_image(run):
    part = part_of(run)
    part.unlink()
    stray = sorted(run.glob("cells/*/parts/00000.parquet"))[-1]
    shutil.copy(stray, stray.with_name("00002.parquet"))
    picture = sorted(run.glob("images/*/*.png"))[-1]
    picture.write_bytes(b"another")
    differing = {about: reason for _, about, reason in told(inspect(run))}
    assert differing[part.relative_to(run).as_posix()] == "was written and is not there"
    assert "not in the ledger" in differing[stray.with_name("00002.parquet").relative_to(run).as_posix()]
    assert differing[picture.relative_to(run).as_posix()] == "is not the image of the rows"
    assert any(f"6 of {N} images have rows" in reason for reason in differing.values())


@pytest.mark.parametrize("name", ["study.json", "cell.json"])
def test_a_run_that_cannot_be_read_any_more_is_one_that_differs(run, name):
    path = next(path for path in (run / name, *sorted(run.glob(f"cells/*/{name}"))) if path.is_file())
    path.write_text("{")
    inspection = inspect(run)
    differing = {about: reason for _, about, reason in told(inspection)}
    assert "changed since it was written" in differing[path.relative_to(run).as_posix()]
    assert inspection.differs


@pytest.mark.parametrize("left", [None, ""])
def test_a_ledger_that_was_taken_away_or_emptied_differs(run, left):
    ledger = sorted(run.glob("cells/*/digests.jsonl"))[0]
    ledger.unlink() if left is None else ledger.write_text(left)
    differing = {about: reason for _, about, reason in told(inspect(run))}
    assert "other folders of the run have theirs" in differing[ledger.relative_to(run).as_posix()]


def test_a_plan_of_another_shape_and_a_folder_for_a_file_differ(run):
    (run / "study.json").write_text('{"cells": null}')
    assert any("cannot be read: TypeError" in reason for _, _, reason in told(inspect(run)))
    facts = sorted(run.glob("cells/*/cell.json"))[0]
    facts.unlink()
    facts.mkdir()
    differing = {about: reason for _, about, reason in told(inspect(run))}
    assert differing[facts.relative_to(run).as_posix()] == "a folder stands in its place"


def test_sources_weights_and_environment_that_changed(tmp_path):
    made = made_in(tmp_path)
    (made / "net.py").write_text(NET.replace("nn.ReLU()", "nn.Tanh()"))
    with seeded("tests", "other"):
        net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 10))
    weights.save(net, made / "own.safetensors", {"format": 1})
    for facts in (made / "run").glob("cells/*/cell.json"):
        facts.write_text(facts.read_text().replace(f'"torch": "{torch.__version__.split("+")[0]}', '"torch": "1.0.0'))
    inspection = inspect(made / "run")
    differing = {(subject, about.rpartition("/")[2]) for subject, about, _ in told(inspection)}
    assert {("sources", "net.py"), ("weights", "own.safetensors"), ("environment", "torch")} <= differing
    assert any(subject == "weights" and about.startswith("net.py:tiny") for subject, about in differing)
    assert not any(about.startswith("digits-cnn") for _, about in differing)
    assert ("environment", "torch") not in {line[:2] for line in told(inspection.in_other_environment())}


def test_a_run_of_before_is_read_and_what_it_lacks_is_said(run):
    for ledger in [*run.glob("cells/*/" + LEDGER), run / LEDGER]:
        ledger.unlink()
    for path in run.glob("cells/*/cell.json"):
        facts = json.loads(path.read_text())
        del facts["environment"]
        path.write_text(json.dumps(facts))
    study = json.loads((run / "study.json").read_text())
    (run / "study.json").write_text(
        json.dumps({key: study[key] for key in study if key not in ("words", "files", "folder")})
    )
    inspection = inspect(run)
    assert not inspection.differs
    reasons = {(subject, reason) for subject, _, reason in told(inspection, "unchecked")}
    assert {("rows", NOT_RECORDED), ("environment", NOT_RECORDED), ("weights", NOT_RECORDED)} <= reasons
    assert ("images", "no words are recorded by the vauban that ran it") in reasons
    assert inspection.counted("sources", "agrees") > 5


def test_a_bundle_is_inspected_where_nothing_of_the_original_is(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    made = made_in(home)
    packed = bundle(made / "run", tmp_path / "a.tar", with_data=True)
    assert packed.read_bytes() == bundle(made / "run", tmp_path / "b.tar", with_data=True).read_bytes()
    seal = inspect(made / "run").seal
    home.rename(tmp_path / "away")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))  # where the built-in network would be
    monkeypatch.setattr("vauban.models.digits.optimise", lambda net, *_, **__: pytest.fail("a network was trained"))
    monkeypatch.setattr("vauban.models.architecture.ready", {})
    inspection = inspect(packed)
    assert not inspection.of("differs")
    assert not inspection.of("unchecked")
    assert inspection.seal == seal
    assert inspection.counted("images", "agrees") == 4 * N
    cut = tmp_path / "cut.tar"
    for length in (600, 10_000, packed.stat().st_size - 11_000):
        cut.write_bytes(packed.read_bytes()[:length])
        with pytest.raises(ContractError, match=r"cut\.tar: expected .*cut short"):
            inspect(cut)
    other = bytearray(packed.read_bytes())
    other[other.index(b"PAR1") + 9] ^= 1
    cut.write_bytes(other)
    with pytest.raises(ContractError, match=r"cut\.tar: run/cells/.*parquet is not the file that was packed"):
        inspect(cut)


def test_a_bundle_has_the_external_data_of_an_onnx_file(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    draw = torch.Generator().manual_seed(1)
    file = linear(home / "net.onnx", torch.randn(64, 10, generator=draw).numpy(), (1, 8, 8), external=True)
    Study(
        home / "run", data="digits/test[:4]", models=f"onnx:{file}", attacks="square:eps=0.3,steps=4", preflight=False
    ).run(progress=False)
    packed = bundle(home / "run", tmp_path / "a.tar", with_data=True)
    home.rename(tmp_path / "away")
    inspection = inspect(packed)
    assert not inspection.of("differs")
    assert inspection.counted("images", "agrees") == 4
    (tmp_path / "away").rename(home)
    (home / "w.data").write_bytes(bytes((home / "w.data").stat().st_size))
    with pytest.raises(ContractError, match=r"expected .*w\.data as it was in the run"):
        bundle(home / "run")


def test_a_bundle_holds_no_key_and_nothing_that_has_changed(tmp_path):
    made = made_in(tmp_path)
    net = made / "net.py"
    net.write_text(NET + "\nWIDTH = 6\n")
    with pytest.raises(ContractError, match=r"expected .*net\.py as it was in the run, got another"):
        bundle(made / "run")
    key = made / "mine.key"
    Secret.new().write(key)
    net.write_text(f"{NET}\nKEY = '{key.read_text().strip()}'\n")
    shutil.rmtree(made / "run")
    model = f"{net}:tiny:weights={made}/own.safetensors"
    Study(made / "run", data="digits/test[:4]", models=model, attacks="fgsm:eps=0.3", preflight=False).run(
        progress=False
    )
    with pytest.raises(ContractError, match=r"expected no key in a bundle, got one in files/.*net\.py"):
        bundle(made / "run")
    assert not list(made.glob("*.tar"))


def ended(*words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["vauban", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    printed = capsys.readouterr()
    return int(left.value.code or 0), printed.out, printed.err


def test_exit_codes_and_mistakes_of_the_command(run, tmp_path, monkeypatch, capsys):
    def audit(*words):
        return ended("audit", *words, monkeypatch=monkeypatch, capsys=capsys)

    code, out, _ = audit(run, "--json")
    printed = json.loads(out)
    assert (code, printed["format"], printed["differs"]) == (0, 1, [])
    assert audit(run, "--seal", printed["seal"])[0] == 0
    code, out, _ = audit(run, "--seal", "0" * 64)
    assert code == 1
    assert f"differs: rows seal: expected {'0' * 64}, got {printed['seal']}" in out
    (tmp_path / "empty").mkdir()
    (tmp_path / "paper" / "cia-2-smoke").mkdir(parents=True)
    (tmp_path / "paper" / "cia-2-smoke" / "reproduction.json").write_text("{}")
    shutil.copytree(run, tmp_path / "plan", ignore=shutil.ignore_patterns("cells"))
    for folder, message in {
        "empty": "expected a run directory, got no study.json and no rows",
        "paper": "got a folder of vauban reproduce",
        "plan": "expected a run with rows, got a plan alone",
        "nowhere": "expected a run directory",
    }.items():
        code, _, err = audit(tmp_path / folder)
        assert code == 2
        assert message in err
        assert err.count("\n") == 1


def test_a_run_that_is_still_going_is_refused(run):
    lock = next(iter(run.glob("cells/*/lock")))
    holder = subprocess.Popen(
        [
            sys.executable,
            "-uc",
            f"import fcntl; f = open({str(lock)!r}, 'a+b'); fcntl.lockf(f, fcntl.LOCK_EX, 1, 3); print(); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        holder.stdout.readline()
        with pytest.raises(
            ContractError, match=rf"expected a run that has ended, got one that is writing cells/{lock.parent.name}"
        ):
            inspect(run)
    finally:
        holder.communicate(b"\n")
    assert not inspect(run).differs
