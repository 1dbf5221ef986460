"""The counter-based generator against an independent SplitMix64 in Python integers, and its statistics."""

from __future__ import annotations

import zlib

import pytest
import torch
from scipy import stats

from vauban.core.rng import Stream, fold

M = 2**64 - 1
IDS = torch.tensor([0, 1, 5, 2**40, -3, 2**63 - 1])


def mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M
    return z ^ (z >> 31)


def folded(*words: int | str) -> int:
    state = 0
    for w in words:
        state = mix(((state + 0x9E3779B97F4A7C15) ^ (zlib.crc32(w.encode()) if isinstance(w, str) else w)) & M)
    return state


def splitmix(seed: int, n: int) -> list[int]:
    """The first n outputs of the published generator."""
    out = []
    for _ in range(n):
        seed = (seed + 0x9E3779B97F4A7C15) & M
        out.append(mix(seed))
    return out


def test_splitmix_reference_vector() -> None:
    """The widely published first outputs for seed 1234567, so that the reference of these tests is itself right."""
    assert splitmix(1234567, 3) == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize(("restart", "t", "draw"), [(0, 0, 0), (3, 0, 0), (0, 7, 2), (-5, 2**40, 1)])
def test_bits_are_splitmix_of_the_hashed_key(restart: int, t: int, draw: int) -> None:
    found = Stream(42, IDS, restart).bits("tag", (2, 3), t, draw)
    for i, identity in enumerate(IDS.tolist()):
        key = mix((mix((identity + folded(42, restart, "tag")) & M) + folded(t, draw)) & M)
        assert [v & M for v in found[i].flatten().tolist()] == splitmix(key, 6)


def test_fold_is_the_same_hash_in_signed_form() -> None:
    for words in [(0,), (1, "a", -7), (2**63, "restart", 2**80)]:
        assert fold(*words) & M == folded(*words)
        assert -(2**63) <= fold(*words) < 2**63


@pytest.mark.parametrize("method", ["uniform", "normal", "signs", "bits"])
def test_a_sample_draws_the_same_numbers_in_any_batch_and_order(method: str) -> None:
    whole = Stream(1, IDS)
    draw = getattr(whole, method)("x", (2, 2), t=3)
    order = torch.tensor([4, 0, 2])
    assert torch.equal(getattr(whole.rows(order), method)("x", (2, 2), t=3), draw[order])
    assert torch.equal(getattr(Stream(1, IDS[3:4]), method)("x", (2, 2), t=3), draw[3:4])


def test_a_longer_draw_begins_with_the_shorter_one() -> None:
    stream = Stream(0, IDS)
    assert torch.equal(stream.bits("x", (7,))[:, :3], stream.bits("x", (3,)))


def test_every_word_of_the_key_matters() -> None:
    base = Stream(0, torch.arange(4))
    draws = [
        base.bits("a", (50,)),
        base.bits("b", (50,)),
        base.bits("a", (50,), t=1),
        base.bits("a", (50,), draw=1),
        base.fresh(0).bits("a", (50,)),
        base.fresh(1).bits("a", (50,)),
        base.fresh(1).fresh(1).bits("a", (50,)),
        Stream(1, torch.arange(4)).bits("a", (50,)),
    ]
    values = torch.stack(draws).flatten()
    assert values.unique().numel() == values.numel()


def big(method: str, **kwargs: object) -> torch.Tensor:
    return getattr(Stream(7, torch.arange(100)), method)("x", (500,), **kwargs).double().flatten()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_uniform(dtype: torch.dtype) -> None:
    u = big("uniform", dtype=dtype)
    assert u.min() >= 0
    assert u.max() < 1
    if dtype in (torch.float32, torch.float64):
        assert stats.kstest(u.numpy(), "uniform").pvalue > 0.01
    assert abs(u.mean() - 0.5) < 0.01
    assert abs(u.var() - 1 / 12) < 0.005


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normal(dtype: torch.dtype) -> None:
    n = big("normal", dtype=dtype)
    assert torch.isfinite(n).all()
    assert stats.kstest(n.numpy(), "norm").pvalue > 0.01
    assert abs(stats.kurtosis(n.numpy())) < 0.1


def test_normal_is_finite_at_both_ends_of_the_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = torch.tensor([[-1, 0, 2**63 - 1, -(2**63)]])
    monkeypatch.setattr(Stream, "bits", lambda *a, **k: ends)
    n = Stream(0, torch.zeros(1, dtype=torch.int64)).normal("x", (4,), dtype=torch.float64)
    assert torch.isfinite(n).all()
    assert n[0, 0] == -n[0, 1]


def test_signs_and_integers() -> None:
    s = big("signs")
    assert set(s.tolist()) == {-1, 1}
    assert abs(s.mean()) < 0.02
    counts = Stream(3, torch.arange(30000)).integers("k", 7).bincount()
    assert len(counts) == 7
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


@pytest.mark.parametrize("other", ["tag", "t", "draw", "restart", "id"])
def test_neighbouring_keys_are_uncorrelated(other: str) -> None:
    a = Stream(0, torch.arange(1)).normal("a", (20000,), dtype=torch.float64)[0]
    b = {
        "tag": Stream(0, torch.arange(1)).normal("b", (20000,), dtype=torch.float64),
        "t": Stream(0, torch.arange(1)).normal("a", (20000,), t=1, dtype=torch.float64),
        "draw": Stream(0, torch.arange(1)).normal("a", (20000,), draw=1, dtype=torch.float64),
        "restart": Stream(0, torch.arange(1)).fresh(1).normal("a", (20000,), dtype=torch.float64),
        "id": Stream(0, torch.arange(1, 2)).normal("a", (20000,), dtype=torch.float64),
    }[other][0]
    assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 0.03


def test_the_global_generator_is_never_touched() -> None:
    before = torch.get_rng_state()
    for method in ("uniform", "normal", "signs"):
        big(method)
    assert torch.equal(torch.get_rng_state(), before)
