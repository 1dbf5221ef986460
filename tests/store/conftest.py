"""Columns of a small batch, all values known."""

from __future__ import annotations

import numpy as np
import pytest


def batch(ids, seed=0):
    generator = np.random.default_rng(seed)
    n = len(ids)
    success = generator.random(n) < 0.7
    l2 = np.where(success, generator.gamma(4.0, 0.3, n), np.inf)
    return {
        "id": np.asarray(ids, np.int64),
        "y": generator.integers(0, 10, n),
        "clean_label": generator.integers(0, 10, n),
        "clean_correct": (generator.random(n) < 0.9).astype(float),
        "clean_confidence": generator.random(n),
        "adv_label": generator.integers(0, 10, n),
        "adv_confidence": generator.random(n),
        "misclassified": success.astype(float),
        "reached": success.astype(float),
        "success": success,
        "l0": np.where(success, 30.0, np.inf),
        "l1": l2 * 3,
        "l2": l2,
        "linf": l2 / 9,
        "raw_success": success,
        "raw_l2": l2,
        "raw_linf": l2 / 9,
        "forwards": generator.integers(20, 60, n),
        "backwards": generator.integers(10, 40, n),
        "switches": np.zeros(n, np.int64),
        "vanished": np.zeros(n, np.int64),
    }


@pytest.fixture
def make_batch():
    return batch


@pytest.fixture
def meta():
    return {
        "model": "m",
        "defence": "none",
        "data": "d",
        "threat": "white-box",
        "attack": "pgd",
        "goal": "untargeted",
        "norm": "linf",
        "eps": 0.1,
        "n": 12,
        "batch_size": 4,
        "params": {"attack": {"eps": 0.1, "steps": 40}},
        "sources": {},
        "clean_only": False,
    }
