"""Keyed defences from the command line: one of a user's in one file meets every attacker; bad keys end in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vauban as vb
from vauban.core.errors import VaubanError
from vauban.core.secret import HEAD, Secret
from vauban.store import query

Run = Callable[..., Any]
ROWS = '''
from dataclasses import dataclass
import torch
from torch import Tensor
from vauban.defences import KeyedDefence

@dataclass(frozen=True)
class RowOrder(KeyedDefence):
    """The rows of every image in a secret order."""
    registered = "row-order"

    def made(self, shape):
        return (self.key.permutation(shape[1], f"{self.use}|{shape[1]}"),)

    def transformed(self, x, *made):
        return x.index_select(2, made[0])

    def inverse(self, x):
        return x.index_select(2, torch.argsort(self.made(tuple(x.shape[1:]))[0]))

    def unknowns(self, shape):
        return "order", shape[1]

    def softly(self, x, guess):
        return guess @ x

    def marked(self, x, marks):
        return x + marks[:, None, :, None]

@dataclass(frozen=True)
class Plain(KeyedDefence):
    """As before, without what the recoveries ask for."""
    registered = "plain-order"
    made, transformed, inverse = RowOrder.made, RowOrder.transformed, RowOrder.inverse
'''
BATTERY = (
    "keyed:keys=1",
    "keyed:weights=known,steps=5",
    "leaked-key",
    "chosen-inputs",
    "leaked-activation",
    "leaked-activation:layer=inner.0",
    "substitute:model=digits-cnn,data='digits/train[300:310]',rounds=1,epochs=1",
)


@pytest.fixture
def trained(vauban: Run, project: Path) -> Path:
    """A folder with the user's file, a key, and a network that was trained behind both."""
    (project / "rows.py").write_text(ROWS)
    Secret.new().write(project / "a.key")
    words = ("--model", "digits-cnn", "--data", "digits/train[:200]", "--epochs", "2", "--out", "w.safetensors")
    assert vauban("train", *words, "--defence", "rows.py:RowOrder:key=a.key").code == 0
    return project


def test_a_users_keyed_defence_meets_the_battery_with_no_further_code(vauban: Run, trained: Path) -> None:
    """Every threat by name; who has asked for every row, or sees a layer, is as strong as who has the key."""
    threats = [word for threat in BATTERY for word in ("--threat", threat)]
    ran = vauban(
        *("evaluate", "--model", "w.safetensors", "--defence", "trained", "--data", "digits/test[:8]", "--out", "run"),
        *("--attack", "pgd:eps=0.2,steps=3", "--no-preflight", *threats),
    )
    assert ran.code == 0, ran.err
    assert "scores of 9 chosen images: the order of 8 of 8 things is guessed" in ran.err
    assert "20 answers will be asked for" in ran.err
    rows = {cell.meta["threat"]: cell for cell in query.load(trained / "run").cells}
    assert len(rows) == len(BATTERY)
    assert all(cell.complete for cell in rows.values())
    leaked = rows["leaked-key"].columns["success"].tolist()
    for threat in ("chosen-inputs", "leaked-activation", "leaked-activation:layer=inner.0"):
        assert rows[threat].columns["success"].tolist() == leaked
    key = Secret.read(trained / "a.key")
    assert key.id in (trained / "run" / "report.html").read_text()


def test_without_a_threat_the_two_of_a_keyed_defence_are_run(vauban: Run, trained: Path) -> None:
    words = (
        "--model",
        "w.safetensors",
        "--defence",
        "trained",
        "--data",
        "digits/test[:4]",
        "--attack",
        "fgsm:eps=0.1",
    )
    assert vauban("evaluate", *words, "--out", "run", "--no-preflight").code == 0
    assert {cell.meta["threat"] for cell in query.load(trained / "run").cells} == {"keyed", "leaked-key"}


def test_a_recovery_asks_for_what_a_defence_does_not_say(vauban: Run, trained: Path) -> None:
    words = ("--data", "digits/train[:40]", "--epochs", "1", "--out", "p.safetensors")
    assert vauban("train", "--model", "digits-cnn", *words, "--defence", "rows.py:Plain:key=a.key").code == 0
    ran = vauban(
        *("evaluate", "--model", "p.safetensors", "--defence", "trained", "--data", "digits/test[:4]", "--out", "run"),
        *("--attack", "fgsm:eps=0.1", "--threat", "chosen-inputs", "--no-preflight"),
    )
    assert ran.code == 2
    assert "whose key gives an order" in ran.err
    assert "Traceback" not in ran.err


WRONG = {
    "pixel-permutation": "needs key",
    "pixel-permutation:key=none.key": "none.key does not exist",
    "pixel-permutation:key=short.key": "64 hexadecimal digits, in short.key",
    "pixel-permutation:key=open.key": "open.key has mode 0644; chmod 600 it",
    "pixel-permutation:key=env:NOT_SET": "NOT_SET, which is not set",
    "pixel-permutation:key=env:SHORT": "64 hexadecimal digits, in the environment variable SHORT",
    "pixel-permutation:key=public:one": "whole number after public:",
    "pixel-permutation:key=5": "as the name of its file or env:NAME, got 5",
    "pixel-permutation:key=folder": "folder cannot be read",
    "rows.py:RowOrder:key=none.key": "none.key does not exist",
    "rows.py:RowOrder": "key",
    "rows.py:RowOrder:key=public:1": "behind which this network was trained",
    "pixel-permutation:key=public:1": "behind which this network was trained",
    "keyed-channels:transform=[keyed-signs:key=none.key]": "none.key does not exist",
    "keyed-channels:transform=[keyed-signs:key=public:1]": "behind which this network was trained",
    "bit-depth+pixel-permutation:key=public:1": "behind which this network was trained",
}


def test_bad_keys_end_in_one_line(vauban: Run, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By command line and in Python: exit code 2, nothing of a key told, nothing written."""
    whole = (trained / "a.key").read_text()
    for name, text, mode in (("short.key", whole[:40], 0o600), ("open.key", whole, 0o644)):
        (trained / name).write_text(text)
        (trained / name).chmod(mode)
    (trained / "folder").mkdir(mode=0o700)
    monkeypatch.setenv("SHORT", whole[:40])
    digits = whole.strip().removeprefix(HEAD)
    data = ("--model", "w.safetensors", "--data", "digits/test[:4]", "--attack", "fgsm:eps=0.1", "--out", "bad")
    for defence, told in WRONG.items():
        ran = vauban("evaluate", *data, "--no-preflight", "--defence", defence)
        lines = [line for line in ran.err.splitlines() if not line.startswith("w.safetensors was trained behind")]
        assert (ran.code, len(lines)) == (2, 1), (defence, ran.err)
        with pytest.raises(VaubanError) as refusal:
            vb.attack("fgsm:eps=0.1", f"{defence}|w.safetensors", "digits/test[:4]")
        for text in (ran.err, str(refusal.value)):
            assert told in text, (defence, text)
            assert digits[:8] not in text
        assert "\n" not in str(refusal.value)
    assert not (trained / "bad" / "cells").exists()


def test_a_shape_that_a_key_was_not_made_for(vauban: Run, trained: Path) -> None:
    for command in (
        ("train", "--model", "digits-cnn", "--data", "digits/train[:40]", "--epochs", "1", "--out", "z.safetensors"),
        ("measure", "--model", "digits-cnn", "--data", "digits/test[:4]", "--metric", "loss-sensitivity"),
    ):
        ran = vauban(*command, "--defence", "block-permutation:block=3,key=a.key")
        assert ran.code == 2
        assert "block=3 for 8x8 pixels" in ran.err
        assert len(ran.err.splitlines()) == 1
    assert not (trained / "z.safetensors").exists()


def test_keys_of_the_command_line(vauban: Run, project: Path) -> None:
    made = vauban("keys", "new", "b.key")
    assert (made.code, made.out.strip()) == (0, Secret.read(project / "b.key").id)
    assert vauban("keys", "id", "b.key").out == made.out
    before = (project / "b.key").read_bytes()
    again = vauban("keys", "new", "b.key")
    assert (again.code, len(again.err.splitlines())) == (2, 1)
    assert "never overwritten" in again.err
    assert (project / "b.key").read_bytes() == before
    for words in (("new", "no/folder/c.key"), ("id", "c.key"), ("id", "env:NOT_SET")):
        ran = vauban("keys", *words)
        assert (ran.code, len(ran.err.splitlines())) == (2, 1), ran.err


def test_a_reproduction_refuses_a_bad_key(vauban: Run, project: Path) -> None:
    for words, told in (
        (("keyed-fleet-mnist", "--key", "none.key", "--key", "public:1"), "none.key does not exist"),
        (("keyed-fleet-mnist", "--key", "public:1"), "got it 1 time"),
        (("cia-2", "--key", "public:1"), "behind keys for --key"),
    ):
        ran = vauban("reproduce", *words, "--out", "tables")
        assert (ran.code, len(ran.err.splitlines())) == (2, 1), ran.err
        assert told in ran.err
    assert not (project / "tables" / "crafted").exists()
