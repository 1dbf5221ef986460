"""Plurals: one of a thing is never `1 things`."""

from __future__ import annotations

import re
from string import Formatter

import pytest
import torch

import vauban as vb
from vauban.core.errors import ContractError, plural
from vauban.evaluate.diagnostics import attack_rules, indicators_rules, preflight_rules
from vauban.evaluate.diagnostics.attack_rules import EDGE_OUT_OF_REACH, NOTHING_CHANGED
from vauban.evaluate.diagnostics.findings import NUMBERED, Rule
from vauban.evaluate.diagnostics.preflight_rules import FEW_CLASSES
from vauban.report.shared import format as fmt


@pytest.mark.parametrize(
    ("n", "word", "text"),
    [
        (1, "image", "1 image"),
        (0, "image", "0 images"),
        (2, "batch", "2 batches"),
        (3, "class", "3 classes"),
        (2, "query", "2 queries"),
        (2, "way", "2 ways"),
        (1, "class", "1 class"),
    ],
)
def test_a_count_has_the_form_of_its_word(n: int, word: str, text: str) -> None:
    assert plural(n, word) == fmt.plural(n, word) == text


def test_a_data_set_of_one_image_says_so() -> None:
    assert repr(vb.data.load("digits/test[:1]")) == "Dataset(digits/test, 1 sample, 10 classes)"
    assert repr(vb.data.load("digits/test[:2]")) == "Dataset(digits/test, 2 samples, 10 classes)"


def test_a_finding_about_one_sample_or_one_step_says_so() -> None:
    one = EDGE_OUT_OF_REACH.on(1, 1, steps=1, step=0.01, path=0.01, eps=0.1).finding()
    assert one.message.startswith("1 of 1 sample is attacked in 1 step of")
    assert NOTHING_CHANGED.on(1, 8).finding().message.startswith("1 of 8 samples was left as it is:")
    assert NOTHING_CHANGED.on(2, 8).finding().message.startswith("2 of 8 samples were left as they are:")
    assert "in 3 steps of" in EDGE_OUT_OF_REACH.on(1, 2, steps=3, step=0.01, path=0.03, eps=0.1).finding().message
    assert "have only 2 classes" in FEW_CLASSES.on(2, 2, classes=2).finding().message


def test_an_error_about_one_image_says_so() -> None:
    model = vb.models.load("digits-cnn")
    with pytest.raises(ContractError, match="expected 1 image of shape"):
        vb.verify(model, vb.data.load("digits/test[:1]"), torch.zeros(2, 1, 8, 8), "linf:0.1")


def test_no_rule_says_of_one_sample_what_is_said_of_several() -> None:
    rules = {
        r for m in (attack_rules, indicators_rules, preflight_rules) for r in vars(m).values() if isinstance(r, Rule)
    }
    for rule in rules:
        facts = {name: 1 for _, name, _, _ in Formatter().parse(rule.means) if name and name not in NUMBERED}
        message = rule.on(1, 1, **facts).finding().message
        assert not re.match(r"1 of 1 sample (more )?(are|were|have|get|change)\b", message), message
