"""A key gives the same numbers everywhere, shows nothing but its id, and is refused where others may read it."""

from __future__ import annotations

import copy
import hashlib
import hmac
import os
import pickle
import struct
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
import torch

import vauban as vb
from vauban.core.errors import ContractError
from vauban.core.secret import HEAD, Secret
from vauban.jobs.identity import describe
from vauban.words.key import load

KNOWN = bytes(range(32))


def rotated(word: int, by: int) -> int:
    return (word << by | word >> 32 - by) & 0xFFFFFFFF


def chacha20(key: bytes, counter: int) -> bytes:
    """The block function of RFC 8439, section 2.3, with a nonce of zeros, written from its text."""
    state = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<8I", key), counter, 0, 0, 0]
    z = list(state)
    for _ in range(10):
        rounds = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
        diagonals = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
        for a, b, c, d in (*rounds, *diagonals):
            for first, second, third, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                z[first] = (z[first] + z[second]) & 0xFFFFFFFF
                z[third] = rotated(z[third] ^ z[first], by)
    return struct.pack("<16I", *((one + two) & 0xFFFFFFFF for one, two in zip(z, state, strict=True)))


def derived(key: bytes, info: bytes) -> bytes:
    """HKDF with SHA-256 (RFC 5869), no salt, 32 bytes."""
    extracted = hmac.new(bytes(32), key, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()


def test_the_stream_is_that_of_the_standards() -> None:
    stream = b"".join(chacha20(derived(KNOWN, b"vauban 1|test"), block) for block in range(3))
    assert list(islice(Secret(KNOWN).words("test"), 24)) == list(struct.unpack("<24Q", stream))
    longer = list(islice(Secret(KNOWN).words("test"), 1030))
    assert longer[1024] == struct.unpack("<Q", chacha20(derived(KNOWN, b"vauban 1|test"), 128)[:8])[0]


def test_frozen_vectors() -> None:
    """The same on every platform, and in every later version."""
    assert Secret(KNOWN).id == "0716ce17f4559aaa"
    assert Secret(KNOWN).permutation(12, "test").tolist() == [7, 2, 9, 11, 1, 3, 6, 8, 5, 4, 0, 10]
    assert Secret(KNOWN).signs(16, "test").tolist() == [-1, 1, -1, -1, 1, 1, -1, 1, -1, 1, 1, 1, -1, 1, 1, 1]


def test_permutations_are_uniform() -> None:
    """Of three things, each order comes about as often as another, and each use and key has its own."""
    counts = Counter(tuple(Secret.public(i).permutation(3, "x").tolist()) for i in range(1200))
    assert len(counts) == 6
    assert sum((n - 200) ** 2 / 200 for n in counts.values()) < 20.5  # 0.1 % of chi-square with 5 degrees of freedom
    order = Secret(KNOWN).permutation(500, "a")
    assert torch.equal(order.sort().values, torch.arange(500))
    assert not torch.equal(order, Secret(KNOWN).permutation(500, "b"))
    assert not torch.equal(order, Secret.public(0).permutation(500, "a"))


def test_nothing_shows_the_key() -> None:
    key = Secret(KNOWN)
    for shown in (repr(key), str(key), f"{key}", str(describe(key)), str(describe({"a": [key]}))):
        assert KNOWN.hex() not in shown
        assert key.id in shown
    assert not hasattr(key, "__dict__")
    assert copy.deepcopy(key) is key
    with pytest.raises(ContractError, match="pickled"):
        pickle.dumps(key)
    assert key == Secret(KNOWN)
    assert key != Secret.public(1)
    assert len({key, Secret(KNOWN)}) == 1


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, key = tmp_path / "a.key", Secret.new()
    key.write(path)
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert load(str(path)) == key == vb.load("key", str(path))
    with pytest.raises(ContractError, match="never overwritten"):
        Secret.new().write(path)
    monkeypatch.setenv("THE_KEY", path.read_text())
    assert load("env:THE_KEY") == key
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(ContractError, match=f"mode 0{mode:o}; chmod 600 it") as told:
            load(str(path))
        assert "\n" not in str(told.value)
    path.chmod(0o600)
    for text in ("", "nothing", HEAD, HEAD + "ab", HEAD + "zz" * 32, path.read_text().strip() + "00"):
        path.write_text(text)
        with pytest.raises(ContractError, match="64 hexadecimal digits") as told:
            load(str(path))
        assert not text or len(text) < 15 or text.removeprefix(HEAD) not in str(told.value)  # it may be most of a key
    for name in (str(tmp_path / "no.key"), "env:NOT_SET", "public:x"):
        with pytest.raises(ContractError, match="expected a"):
            load(name)
    with pytest.raises(ContractError, match="32 bytes"):
        Secret(b"short")
    assert os.path.exists(path)
