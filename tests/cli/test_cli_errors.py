"""What a user gets wrong is told in one line, with exit code 2, and costs no rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vauban import cli
from vauban.core.errors import VaubanError
from vauban.evaluate.job import CellJob
from vauban.store import query

Run = Callable[..., Any]


def one_line(ran: Any, *parts: str) -> None:
    assert ran.code == 2, ran
    assert ran.err.startswith("vauban: "), ran.err
    assert ran.err.count("\n") == 1, ran.err
    assert "Traceback" not in ran.err
    for part in parts:
        assert part in ran.err, ran.err


WRONG = {
    "model": (["--model", "digits-cmn"], ["unknown model", "'digits-cnn'"]),
    "model in a file": (["--model", "mine.py:nett"], ["mine.py", "'net'"]),
    "model file": (["--model", "nowhere.py:net"], ["nowhere.py", "does not exist"]),
    "model without weights": (["--model", "mnist-c4"], ["vauban train --model mnist-c4"]),
    "model parameter": (["--model", "mine.py:Means:skale=2"], ["skale"]),
    "data": (["--data", "digit/test"], ["unknown dataset", "'digits'"]),
    "split": (["--data", "digits/tst"], ["train, test"]),
    "slice": (["--data", "digits/test[a:b]"], ["[:500]"]),
    "empty slice": (["--data", "digits/test[9999:]"], ["empty slice"]),
    "attack": (["--attack", "pdg"], ["unknown attack", "'pgd'"]),
    "attack parameter": (["--attack", "pgd:step=3"], ["parameter of attack 'pgd'", "'steps'"]),
    "attack value": (["--attack", "pgd:steps"], ["key=value"]),
    "attack eps": (["--attack", "pgd:eps=big"], ["8/255"]),
    "attack eps below 0": (["--attack", "pgd:eps=-0.1"], ["8/255"]),
    "attack without eps": (["--data", "mine.py:nan", "--attack", "fgsm"], ["eps=", "8/255"]),
    "attack norm": (["--attack", "pgd:norm=l7"], ["unknown norm", "'l1'"]),
    "norm of another attack": (["--attack", "pgd:norm=l0"], ["linf, l2, l1", "l0"]),
    "attack in a file": (["--attack", "mine.py:Meins"], ["'Mine'"]),
    "attack parameter in a file": (["--attack", "mine.py:Mine:stepz=3"], ["stepz", "'steps'"]),
    "attack that is none": (["--attack", "mine.py:net"], ["start and step, or run"]),
    "parameters of an instance": (["--attack", "mine.py:mine:steps=3"], ["instance"]),
    "defence": (["--defence", "bit-deph"], ["unknown defence", "'bit-depth'"]),
    "defence whose key has a plus": (["--defence", "pixel-permutation:key=a+b.key"], ["'b.key'", "quotes"]),
    "defence parameter": (["--defence", "bit-depth:bit=2"], ["'bits'"]),
    "defence value": (["--defence", "bit-depth:bits=99"], ["at least 1 and at most 8", "99"]),
    "threat": (["--threat", "whitebox"], ["unknown threat", "'white-box'"]),
    "threat parameter": (["--threat", "adaptive:eots=2"], ["'eot'"]),
    "threat without sources": (["--threat", "transfer"], ["sources"]),
    "threat that is none": (["--threat", "mine.py:lazy"], ["mine.py:lazy"]),
    "threat in a file": (["--threat", "mine.py:watsch"], ["'watch'"]),
    "goal": (["--goal", "untargetted"], ["unknown goal", "'untargeted'"]),
    "goal outside": (["--goal", "targeted:77"], ["[0, 9]", "77"]),
    "loss": (["--attack", "pgd:loss=margn"], ["unknown loss", "'margin'"]),
    "loss in a file": (["--attack", "pgd:loss=mine.py:losss"], ["'loss'"]),
    "loss of the wrong shape": (["--attack", "pgd:loss=mine.py:scalar_loss"], ["scalar_loss"]),
    "refused by the threat": (["--threat", "scores-only", "--attack", "pgd"], ["gradients", "square", "random-noise"]),
    "refused by the threat in a file": (["--threat", "labels-only", "--attack", "mine.py:Own"], ["scores"]),
    "labels": (["--labels", "mine"], ["true", "own"]),
    "batch size": (["--batch-size", "0"], ["--batch-size"]),
    "budget of nothing": (["--budget", "0"], ["budget", "at least 1"]),
    "budget below nothing": (["--budget", "-3"], ["budget", "at least 1"]),
    "no workers": (["--workers", "0"], ["worker"]),
    "no steps": (["--attack", "pgd:steps=0"], ["steps", "at least 1", "got 0"]),
    "half a step": (["--attack", "pgd:steps=2.5"], ["steps", "whole number", "2.5"]),
    "a negative step": (["--attack", "pgd:rel_stepsize=-1"], ["rel_stepsize", "above 0"]),
    "two step sizes": (["--attack", "pgd:rel_stepsize=0.1,abs_stepsize=0.1"], ["rel_stepsize", "abs_stepsize"]),
    "a switch that is none": (["--attack", "pgd:random_start=no"], ["random_start", "true or false", "'no'"]),
    "a decay that is none": (["--attack", "cia:beta2=1"], ["beta2", "below 1"]),
    "a radius below nothing": (["--attack", "pgd:eps=-0.1"], ["eps", "-0.1"]),
    "a radius that is no number": (["--attack", "pgd:eps=nan"], ["eps", "nan"]),
    "a radius without end": (["--attack", "pgd:eps=inf"], ["eps", "inf"]),
    "a defence out of its range": (["--defence", "bit-depth:bits=0"], ["bits"]),
    "a threat out of its range": (["--threat", "adaptive:eot=0"], ["eot", "at least 1"]),
    "no points": (["--data", "moons:n=1"], ["n of moons", "at least 2"]),
    "device": (["--device", "cda"], ["--device"]),
    "device of another kind": (["--device", "meta"], ["cpu, cuda"]),
    "model shape": (["--model", "mine.py:Wide"], ["1, 8, 8)", "failed"]),
    "model output": (["--model", "mine.py:Bad"], ["logits"]),
    "model tuple": (["--model", "mine.py:Tuple"], ["logits", "tuple"]),
    "NaN pixels": (["--data", "mine.py:nan"], ["NaN", "6"]),
    "range": (["--data", "mine.py:negative"], ["[0, 1]"]),
    "labels outside": (["--data", "mine.py:labels"], ["[0, 9]"]),
    "labels outside the model": (["--data", "mine.py:many"], ["[0, 9]", "10 classes"]),
    "an option": (["--atack", "pgd"], ["--attack", "vauban evaluate --help"]),
    "a number": (["--seed", "x"], ["--seed"]),
    "out is a file": (["--out", "mine.py"], ["mine.py"]),
}

SHOWN_BY_A_BATCH = ("loss of the wrong shape", "refused by the threat in a file", "NaN pixels")
"""What a user's own code does, and his pixels, show when a batch runs."""


@pytest.mark.slow
@pytest.mark.parametrize("preflight", ["--preflight", "--no-preflight"])
@pytest.mark.parametrize("case", WRONG)
def test_one_line_and_exit_code_2_before_anything_is_written(
    case: str, preflight: str, evaluate: Run, project: Path
) -> None:
    words, parts = WRONG[case]
    one_line(evaluate(*words, preflight), *parts)
    assert (project / "run").exists() <= (case in SHOWN_BY_A_BATCH)


def test_a_gpu_that_is_not_there(evaluate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    one_line(evaluate("--device", "cuda"), "no CUDA device", "--device cpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    one_line(evaluate("--device", "cuda:3"), "1 CUDA device", "cuda:0")


def test_a_traceback_only_with_debug(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["vauban", "evaluate", "--model", "digits-cmn", "--data", "digits", "--debug"])
    with pytest.raises(VaubanError, match="digits-cmn"):
        cli.main()


def test_rows_that_were_computed_stay(evaluate: Run, project: Path) -> None:
    ran = evaluate("--data", "mine.py:nan", "--batch-size", "3", "--no-preflight")
    one_line(ran, "NaN")
    (cell,) = query.load(project / "run").cells
    assert cell.columns["id"].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_failed_batch_is_exit_code_3_and_the_next_run_completes_it(evaluate: Run, vauban: Run, project: Path) -> None:
    (project / "flaky.py").write_text(
        "from pathlib import Path\nimport torch\nfrom torch import nn\n"
        "class Net(nn.Module):\n"
        "    def forward(self, z):\n"
        "        if len(z) == 2 and not Path('up').exists():\n"
        "            raise ConnectionError('refused')\n"
        "        return torch.stack([z.mean((1, 2, 3)), z.amax((1, 2, 3)), *[z[:, 0, 0, 0]] * 8], 1)\n"
    )
    words = ["--model", "flaky.py:Net", "--batch-size", "6", "--no-preflight"]
    ran = evaluate(*words)
    assert ran.code == 3
    assert "batch 1 failed: ConnectionError: refused" in ran.err
    assert "1 batch failed" in ran.out
    told = " ".join(vauban("status", "run").out.split())
    assert "failed: 1 batch, the last with ConnectionError: refused" in told
    (project / "up").touch()
    assert evaluate(*words).code == 0
    assert "1 complete" in vauban("status", "run").out


def test_another_schema_version(evaluate: Run, vauban: Run, project: Path) -> None:
    assert evaluate().code == 0
    (path,) = project.glob("run/cells/*/cell.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))
    for words in (["report", "run"], ["table", "run"], ["status", "run"]):
        one_line(vauban(*words), "schema 1", "99")
    one_line(evaluate(), "schema 1", "99")


@pytest.mark.slow
def test_a_corrupt_part_is_told_once_and_done_again(evaluate: Run, vauban: Run, project: Path) -> None:
    evaluate("--batch-size", "4")
    before = vauban("table", "run")
    part = min(project.glob("run/cells/*/parts/*"))
    part.write_bytes(b"PAR1 this is not what it says")
    told = vauban("status", "run")
    assert (told.code, told.err.count("\n")) == (0, 1)
    assert part.name in told.err
    assert "partial" in told.out
    again = evaluate("--batch-size", "4")
    assert (again.code, again.err.count("expected a Parquet part")) == (0, 1)
    assert vauban("table", "run").out == before.out


@pytest.mark.parametrize("words", [["report"], ["table"], ["status"]])
def test_a_folder_without_a_run(words: list[str], vauban: Run, project: Path) -> None:
    (project / "empty").mkdir()
    one_line(vauban(*words, "empty"), "run directory")
    one_line(vauban(*words, "nowhere"), "run directory")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["lst"], "lst"),
        (["list", "atacks"], "'attacks'"),
        (["list"], "kind"),
        (["report"], "directory"),
        (["table", "run", "--format", "docx"], "md"),
        (
            [
                "verify",
                "--model",
                "mine.py:net",
                "--data",
                "digits/test[:8]",
                "--adv",
                "no.npz",
                "--budget",
                "linf:0.1",
            ],
            "no.npz",
        ),
        (
            ["verify", "--model", "mine.py:net", "--data", "digits/test[:8]", "--adv", "mine.py", "--budget", "8/255"],
            "linf:8/255",
        ),
        (["train", "--model", "digits-cnnn", "--data", "digits/train", "--out", "w.safetensors"], "'digits-cnn'"),
    ],
)
def test_other_commands_say_what_is_wrong(words: list[str], part: str, evaluate: Run, vauban: Run) -> None:
    if words[0] == "table":
        evaluate()
    one_line(vauban(*words), part)


def test_a_model_needs_data(vauban: Run) -> None:
    one_line(vauban("evaluate", "--model", "mine.py:net"), "--data")


def test_what_a_users_file_raises_is_one_line(evaluate: Run, project: Path) -> None:
    (project / "broken.py").write_text("raise ValueError('first\\nsecond')\n")
    one_line(evaluate("--model", "broken.py:net"), "broken.py", "ValueError: first second")
    (project / "torn.py").write_text("def net(:\n")
    one_line(evaluate("--model", "torn.py:net"), "torn.py", "SyntaxError")
    (project / "late.py").write_text("def net():\n    raise RuntimeError('size mismatch\\nfor layer 3')\n")
    one_line(evaluate("--model", "late.py:net"), "RuntimeError: size mismatch", "--debug")


LEAVING = {
    "at import": ("import sys\nsys.exit(0)\n", 2),
    "a panic at import": ("raise BaseException('gone')\n", 2),
    "when made": ("import sys\ndef net():\n    sys.exit(0)\n", 2),
    "when asked": (
        "import sys\nfrom mine import Means\nclass net(Means):\n    def forward(self, z):\n        sys.exit(0)\n",
        2,
    ),
    "in a batch": (
        "import sys\nfrom mine import Means\nclass net(Means):\n    def forward(self, z):\n"
        "        if len(z) == 2:\n            sys.exit(0)\n        return super().forward(z)\n",
        3,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", LEAVING)
def test_a_file_that_ends_the_process_is_no_success(case: str, evaluate: Run, project: Path) -> None:
    content, code = LEAVING[case]
    (project / "leaving.py").write_text(content)
    ran = evaluate("--model", "leaving.py:net", "--batch-size", "6", "--no-preflight")
    assert ran.code == code
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err


def test_an_interruption_says_how_to_go_on(evaluate: Run, monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    whole = CellJob.compute
    calls = []

    def interrupted(job: CellJob, part: Any, scratch: Path) -> Any:
        calls.append(part)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(job, part, scratch)

    monkeypatch.setattr(CellJob, "compute", interrupted)
    ran = evaluate("--batch-size", "2", "--no-preflight")
    assert ran.code == 130
    assert ran.err.strip().splitlines()[-1].startswith("vauban: interrupted")
    (cell,) = query.load(project / "run").cells
    assert len(cell.columns["id"]) == 4
    assert not cell.failures


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["evaluate"], "finished batches are stored"),
        (["train", "--model", "m", "--data", "d", "--out", "w.safetensors"], "the last whole epoch is kept"),
        (["fit", "--fitter", "a", "--model", "m", "--data", "d", "--out", "w.safetensors"], "nothing is kept of a fit"),
        (["report", "run"], "nothing was written"),
    ],
)
def test_what_ctrl_c_leaves_is_said_as_it_is(
    command: list[str], says: str, vauban: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for place in ("vauban.words.load", "vauban.evaluate.study.Study", "vauban.report.run.page.write"):
        monkeypatch.setattr(place, interrupted)
    ran = vauban(*command)
    assert ran.code == 130
    assert says in ran.err
    assert ran.err.count("\n") == 1
