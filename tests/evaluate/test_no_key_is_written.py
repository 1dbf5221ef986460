"""Nothing that is written or printed holds a key, or what it gives: rows, weights, reports, failures, killed workers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

import vauban as vb
from vauban.core.secret import HEAD, Secret

PYTHON = [sys.executable, "-m", "vauban"]
IN_TURN = """
import json, sys
from vauban.cli import main
for sys.argv in json.loads(sys.argv[1]):
    try:
        main()
    except SystemExit:
        pass
    except BaseException:  # as --debug lets it through
        sys.excepthook(*sys.exc_info())
"""
BROKEN = """
import torch
from vauban.core.errors import ContractError

class Broken(torch.nn.Module):
    def forward(self, x):
        raise RuntimeError("the network is broken")
"""
TABLE = """
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.norms import Linf
from vauban.reproduce import Craft, Experiment, Judge, Scale, TableCell, TrainingRun, WeightedNetwork
from vauban.threats import ChosenInputs

RUN = TrainingRun("digits-cnn", "digits/train[:80]", 1, holdout=0, defence="pixel-permutation:key={key}")

def cells(scale):
    craft = Craft(PGD(Linf(0.1), steps=3), (WeightedNetwork("keyed"),), targeted=False, threat=ChosenInputs())
    return [TableCell(craft, Judge(("keyed",)), "misclassification_rate", {}, "chosen inputs")]

SCALE = Scale(
    "digits/test[:8]", {}, 8, (0,), 0.1, "stand-in", "eight digits", {"keyed": RUN}, training_seeds=(0,)
)
table = Experiment("mine", "A table", "nobody", cells, {"smoke": SCALE}, None)
"""


def forms(path: Path) -> dict[str, bytes]:
    """The key and the permutation that it gives for digits, in every form in which they could stand in a file."""
    digits = path.read_text().strip().removeprefix(HEAD)
    defence = vb.defences.load("pixel-permutation", key=Secret.read(path))
    assert isinstance(defence, vb.defences.KeyedDefence)
    (order,) = defence.made((1, 8, 8))
    listed = [int(i) for i in order]
    return {
        "the key in hexadecimal": digits.encode(),
        "the key": bytes.fromhex(digits),
        "the key in decimal": ", ".join(str(byte) for byte in bytes.fromhex(digits)).encode(),
        "the order as int64": order.numpy().tobytes(),
        "the order as int32": order.to(torch.int32).numpy().tobytes(),
        "the order as float32": order.to(torch.float32).numpy().tobytes(),
        "the order as text": ", ".join(map(str, listed)).encode(),
        "the order as JSON": ",".join(map(str, listed)).encode(),
        "its inverse as int64": order.argsort().numpy().tobytes(),
    }


def written(folder: Path, key: Path) -> Iterator[tuple[str, bytes]]:
    """Every file but the key itself, and what compressed streams in it hold."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file != key:
            content = file.read_bytes()
            yield str(file), content
            for start in re.finditer(rb"x[\x01\x5e\x9c\xda]", content):
                try:
                    yield f"{file} at {start.start()}", zlib.decompressobj().decompress(content[start.start() :])
                except zlib.error:
                    continue


def vauban(*commands: list[str], folder: Path) -> str:
    """What commands print, one after the other in one process: starting it takes longer than most of them."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", IN_TURN, json.dumps([["vauban", *words] for words in commands])],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stdout + done.stderr


def first_worker(process: subprocess.Popen[bytes]) -> int | None:
    """A worker process of a study, as soon as there is one; None where the system does not tell, or none came."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for _ in range(600):
        if process.poll() is not None or not children.exists():
            return None
        if workers := children.read_text().split():
            time.sleep(1)  # it has read its part
            return int(workers[0])
        time.sleep(0.1)
    return None


@pytest.mark.slow
def test_a_training_a_study_a_reproduction_a_failure_and_a_killed_worker_hold_no_key(tmp_path: Path) -> None:
    key = tmp_path / "a.key"
    Secret.new().write(key)
    (tmp_path / "broken.py").write_text(BROKEN)
    (tmp_path / "mine.py").write_text(TABLE)
    behind = ["--defence", f"pixel-permutation:key={key}"]
    few = ["--data", "digits/test[:8]"]
    training = ["train", "--model", "digits-cnn", "--data", "digits/train[:80]", "--epochs", "1"]
    study = [
        *("evaluate", "--model", "w.safetensors", "--defence", "trained", "--data", "digits/test[:16]", "--out", "run"),
        *("--threat", "leaked-key", "--threat", "keyed:keys=1", "--attack", "pgd:eps=0.1,steps=3", "--save-images"),
    ]
    failing = ["evaluate", "--model", "broken.py:Broken", *behind, *few, "--attack", "fgsm:eps=0.1"]
    said = vauban(
        [*training, "--out", "w.safetensors", *behind],
        study,
        ["measure", "--metric", "loss-sensitivity", "--model", "w.safetensors", *few, *behind],
        [*failing, "--out", "failed", "--debug"],
        [*study[:-1], "--defence", "pixel-permutation:key=public:3", "--debug"],
        ["reproduce", "mine.py:table", "--out", "tables", "--key", str(key), "--workers", "2", "--debug"],
        ["report", "run"],
        folder=tmp_path,
    )
    for happened in ("broken", "chosen inputs", "keyed:keys=1", "loss-sensitivity"):
        assert happened in said
    with (tmp_path / "workers.txt").open("wb") as printed:  # which is searched too
        process = subprocess.Popen(
            [*PYTHON, *study, "--seed", "2", "--batch-size", "2", "--workers", "2"],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)},
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
    try:
        worker = first_worker(process)
        if worker is not None:
            with suppress(ProcessLookupError):  # it may have ended by itself
                os.kill(worker, signal.SIGKILL)
            time.sleep(2)  # another takes its place
    finally:
        process.kill()
        process.wait()
    (tmp_path / "said.txt").write_text(said)
    assert Secret.read(key).id in "".join(content.decode("utf-8", "ignore") for _, content in written(tmp_path, key))
    secrets = forms(key)
    shown = [
        (name, form) for name, content in written(tmp_path, key) for form, value in secrets.items() if value in content
    ]
    assert not shown


@pytest.mark.slow
def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """The search is no search that cannot fail: an order that is saved, plainly or compressed, is found."""
    key = tmp_path / "a.key"
    Secret.new().write(key)
    defence = vb.defences.load("pixel-permutation", key=Secret.read(key))
    assert isinstance(defence, vb.defences.KeyedDefence)
    (order,) = defence.made((1, 8, 8))
    (tmp_path / "plain").write_bytes(b"abc" + order.numpy().tobytes())
    (tmp_path / "packed").write_bytes(b"abc" + zlib.compress(str(order.tolist()).encode()))
    secrets = forms(key)
    shown = {
        Path(name.split(" at ")[0]).name
        for name, content in written(tmp_path, key)
        for value in secrets.values()
        if value in content
    }
    assert shown == {"plain", "packed"}
