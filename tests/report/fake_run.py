"""A run directory made of plausible, correlated columns: 2 models x 2 defences x 5 attacks x n images."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from vauban.store import Store

ATTACKS = {  # name: norm, eps, strength (smaller distances), gradients, forwards, threat
    "fgsm": ("linf", 8 / 255, 0.55, 1, 2, "white-box"),
    "apgd": ("linf", 8 / 255, 1.0, 100, 101, "white-box"),
    "square": ("linf", 8 / 255, 0.75, 0, 1000, "scores-only"),
    "ddn": ("l2", None, 1.0, 100, 101, "white-box"),
    "cw-l2": ("l2", None, 0.93, 900, 901, "white-box"),
}
FINDING = {
    "code": "black-box-beats-white-box",
    "message": "square broke 12.0 % of the images that apgd did not",
    "advice": "An attack without gradients should not win against one with them: the gradients may be masked.",
    "severity": "warning",
    "share": 0.12,
    "threshold": 0.01,
}


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _pictures(generator, hw, channels, linf):
    y, x = np.mgrid[0:hw, 0:hw] / hw
    base = np.stack([np.sin(x * 6 + k) * np.cos(y * 5 - k) * 0.35 + 0.5 for k in range(channels)], -1)
    noise = generator.choice([-1.0, 1.0], base.shape) * linf * generator.random(base.shape)
    clean = np.round(np.clip(base, 0, 1) * 255).astype(np.uint8)
    adv = np.round(np.clip(clean / 255 + noise, 0, 1) * 255).astype(np.uint8)
    return png(clean.squeeze()), png(adv.squeeze())


def _columns(ids, hardness, correct, spec, generator, hw, channels):
    norm, eps, strength, gradients, forwards, _ = spec
    n = len(ids)
    own = hardness[ids] / strength * generator.lognormal(0, 0.12, n)
    size = own * (4 / 255 if norm == "linf" else 0.6)
    success = (size <= eps) if eps is not None else generator.random(n) < 0.6 + 0.4 * strength
    if norm == "linf":
        linf = np.maximum(np.ceil(size * 255), 1) / 255
        l2 = linf * np.sqrt(channels * hw * hw) * 0.9
    else:
        l2, linf = size, size / 5
    correct = correct[ids].astype(float)
    success = success | (correct == 0)
    linf, l2 = np.where(correct == 0, 0.0, linf), np.where(correct == 0, 0.0, l2)
    inf = lambda values: np.where(success, values, np.inf)  # noqa: E731
    stored = [(index < 12 and bool(success[index])) for index in range(n)]
    pairs = [_pictures(generator, hw, channels, max(linf[i], 1 / 255)) if stored[i] else (None, None) for i in range(n)]
    y = ids % 10
    return {
        "id": ids,
        "y": y,
        "clean_label": np.where(correct > 0, y, (y + 3) % 10),
        "clean_correct": correct,
        "clean_confidence": generator.beta(9, 1, n),
        "adv_label": np.where(success, (y + 1) % 10, y),
        "adv_confidence": generator.beta(4, 3, n),
        "misclassified": success.astype(float),
        "reached": success.astype(float),
        "success": success,
        "l0": inf(np.full(n, 0.8 * hw * hw * channels)),
        "l1": inf(l2 * 12),
        "l2": inf(l2),
        "linf": inf(linf),
        "raw_success": success,
        "raw_l2": inf(l2 * 0.99),
        "raw_linf": inf(linf * 0.99),
        "forwards": np.where(success & (norm == "linf"), forwards // 3 + 1, forwards),
        "backwards": np.where(success & (norm == "linf"), gradients // 3 + (gradients > 0), gradients),
        "switches": generator.poisson(2, n),
        "vanished": np.zeros(n, np.int64),
        "ssim": [1 - l2[i] / 20 if success[i] else None for i in range(n)],
        "psnr_db": [40 - l2[i] if success[i] else None for i in range(n)],
        "clean_png": [pair[0] for pair in pairs],
        "adv_png": [pair[1] for pair in pairs],
    }


def build(folder: Path, n=200, models=("cifar10-cnn", "cifar10-resnet"), defences=("none", "jpeg"), hw=32, channels=3):
    """Write the run and return its folder."""
    store = Store(folder)
    store.write_study({"command": "vauban evaluate --model cifar10-cnn --data 'cifar10/test[:200]' --attack apgd"})
    batch = 50
    for m, model in enumerate(models):
        for d, defence in enumerate(defences):
            generator = np.random.default_rng(10 * m + d)
            hardness = generator.gamma(2.2, 0.42 + 0.35 * m + 0.3 * d, n) + 0.1
            correct = generator.random(n) < 0.93 - 0.03 * d
            for a, (attack, spec) in enumerate(ATTACKS.items()):
                cell = store.cell(f"{m}{d}{a}" + "c0ffee" * 3)
                meta = {
                    "model": model,
                    "defence": defence,
                    "data": f"cifar10/test[:{n}]",
                    "data_fingerprint": "5be1…",
                    "threat": spec[5] if defence == "none" or spec[5] != "white-box" else "adaptive",
                    "attack": attack,
                    "goal": "untargeted",
                    "norm": spec[0],
                    "eps": spec[1],
                    "levels": 256,
                    "loss": "auto",
                    "classes": 10,
                    "seed": 0,
                    "batch_size": batch,
                    "n": n,
                    "dtype": "float32",
                    "device": "cpu",
                    "torch": "2.9.0",
                    "versions": {"vauban": "0.2.0", "numpy": "2.3.5"},
                    "params": {
                        "attack": {"steps": spec[3], "eps": spec[1]},
                        "threat": {"draws": 1},
                        "defence": {"quality": 75} if d else {},
                    },
                    "sources": {"/gone/attack.py": "0" * 64} if (m, d, a) == (1, 1, 4) else {},
                    "created": "2026-11-20T16:00:00Z",
                    "randomised": False,
                    "clean_only": False,
                }
                cell.create(meta)
                for index in range(n // batch):
                    if (m, d, a) == (1, 1, 3) and index == 2:
                        cell.fail(index, "RuntimeError: out of memory after halving the batch to 1", "Traceback …")
                        continue
                    ids = np.arange(index * batch, (index + 1) * batch)
                    cell.append(index, _columns(ids, hardness, correct, spec, generator, hw, channels), seconds=3.7)
                cell.write_findings([FINDING] if (m, d, a) == (0, 1, 1) else [])
    return folder
