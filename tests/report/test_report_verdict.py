"""The verdict in plain words, the cells that it rests on, and doubt only where something is left standing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vauban.report.run import page
from vauban.report.run.doubts import WEAK_ATTACK, cell_doubts, invalid_codes
from vauban.report.run.evidence import breaking_cells, evidence
from vauban.report.run.headlines import headlines
from vauban.report.run.plain_sentence import at_budget, change, without_budget
from vauban.report.shared.format import plural
from vauban.store import CellRows, Run, load

EPS = 8 / 255
MASKED = {"code": "zero-gradients", "severity": "invalid", "message": "standing still"}


def attack(name: str, broken: set[int], clean=(1,) * 10, levels: int = 8, eps: float | None = EPS, **meta) -> CellRows:
    """Ten images, of which an attack breaks some at a distance of so many levels."""
    n = len(clean)
    hit = np.array([k in broken for k in range(n)], float)
    right = np.array(clean, float)
    success = (hit > 0) | (right == 0)
    distance = np.where(right == 0, 0.0, np.where(success, levels / 255, np.inf))
    columns = {
        "id": np.arange(n),
        "clean_correct": right,
        "misclassified": np.maximum(hit, 1 - right),
        "reached": np.maximum(hit, 1 - right),
        "success": success,
        "backwards": np.ones(n),
        "forwards": np.ones(n),
        **dict.fromkeys(("l0", "l1", "l2", "linf"), distance),
    }
    facts = {"hash": name, "model": "m", "defence": "d", "data": "x", "threat": "white-box", "attack": name}
    return CellRows({**facts, "norm": "linf", "eps": eps, **meta}, columns, [], [], complete=True, checked=True)


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        (attack("a", set(range(4))), "Changing each pixel by at most 8 of 255 levels fools net on 4 of the 10 images."),
        (
            attack("a", {1, 2}, clean=(1, 1, 1, 1, 0)),
            "Changing each pixel by at most 8 of 255 levels fools net on 2 of the 4 images that it classifies correctly.",
        ),
        # Every image falls to 2 levels, so 8 would say too little.
        (
            attack("a", set(range(10)), levels=2),
            "Changing each pixel by at most 2 of 255 levels fools net on every one of the 10 images.",
        ),
        (
            attack("a", set()),
            "Changing each pixel by at most 8 of 255 levels, these attacks did not fool net on any of the 10 images.",
        ),
        (
            attack("a", {0}, clean=(1,), levels=2),
            "Changing each pixel by at most 2 of 255 levels fools net on the one image.",
        ),
        (
            attack("a", set(), clean=(1, 0)),
            "Changing each pixel by at most 8 of 255 levels, these attacks did not fool net on the one image that it "
            "classifies correctly.",
        ),
        (attack("a", set(), clean=(0,)), "Even without an attack net does not classify the one image correctly."),
        (attack("a", set(), clean=(0, 0)), "Even without an attack net classifies none of the 2 images correctly."),
    ],
)
def test_the_verdict_is_said_in_plain_words(cell, sentence):
    assert at_budget([cell], "linf", EPS, "net") == sentence


def test_a_network_that_answers_at_random_has_rates():
    cell = attack("a", set())
    cell.columns["misclassified"] = cell.columns["reached"] = np.full(10, 0.25)
    said = at_budget([cell], "linf", EPS, "net")
    assert said == (
        "Changing each pixel by at most 8 of 255 levels takes the right answers of net "
        "from 100.0\u00a0% down to 75.0\u00a0%."
    )


def test_without_a_budget_the_size_that_fools_half_is_said():
    cell = attack("a", set(range(6)), eps=None)
    said = "Changing each pixel by at most 8 of 255 levels fools net on half of the 10 images."
    assert without_budget([cell], "linf", "net") == said
    rarely = attack("a", {1, 2}, eps=None)
    said = "With no limit on the size of a change, these attacks fool net on 2 of the 10 images."
    assert without_budget([rarely], "linf", "net") == said


@pytest.mark.parametrize(
    ("n", "word", "text"),
    [(1, "backward pass", "1 backward pass"), (2, "batch", "2 batches"), (0, "query", "0 queries")],
)
def test_a_count_has_the_form_of_its_number(n, word, text):
    assert plural(n, word) == text


def test_where_at_most_half_are_broken_there_is_no_median(tmp_path, fake_run):
    half, one = attack("a", set(range(5)), eps=None), attack("b", {1}, eps=None)
    for cell, share in ((half, "50.0"), (one, "10.0")):
        (headline,) = headlines(Run(tmp_path, {}, [cell], []))
        (minimal,) = headline.minimal
        assert "∞" not in minimal.sentence.replace("L∞", "")
        assert f"at most half of the 10 correctly classified images were broken ({share}\u00a0%)" in minimal.sentence
        assert not minimal.median_exists


@pytest.mark.parametrize(
    ("norm", "size", "words"),
    [
        ("linf", 1 / 255, "changing each pixel by at most 1 of 255 levels"),
        ("linf", 0.3, "changing each pixel by at most 0.3 of its range"),
        ("l0", 1.0, "changing at most 1 pixel value"),
        ("l0", 12.0, "changing at most 12 pixel values"),
        ("l2", 0.5, "a change of L2 size at most 0.5"),
    ],
)
def test_a_change_is_said_in_the_units_of_images(norm, size, words):
    assert change(norm, size) == words


def test_a_bound_rests_on_the_fewest_cells_that_break_the_same_images():
    cells = [attack("few", {0, 1}), attack("most", {0, 1, 2, 3, 4}), attack("other", {0, 7}), attack("none", set())]
    chosen = breaking_cells(cells, "linf", EPS)
    assert [(one.cell.meta["attack"], one.gained, one.left) for one in chosen] == [("most", 5, 0.5), ("other", 1, 0.4)]
    labels = {cell.meta["hash"]: cell.meta["attack"] for cell in cells}
    assert evidence(chosen, labels, [], False) == (
        "What is broken rests on most under white-box (5 images, leaving 50.0\u00a0%) and other under white-box "
        "(1 image more, leaving 40.0\u00a0%)."
    )
    text = evidence(chosen, labels, [cells[0]], False)
    assert text.endswith("It does not rest on few under white-box, which a finding calls invalid.")
    text = evidence(chosen, labels, [cells[1]], True)
    assert text.endswith("What is left standing rests on cells that a finding calls invalid: most under white-box.")
    text = evidence(chosen, labels, [cells[0], cells[3]], True)
    assert text.endswith("rests on cells that a finding calls invalid: few and none under white-box.")
    assert evidence([], labels, [], False) == "No attack broke an image."


def test_a_targeted_attack_also_says_how_often_it_got_where_it_aimed():
    cell = attack("a", {0, 1, 2, 3}, goal="least-likely")
    # Fooled on four, and the class aimed at on one of them.
    cell.columns["success"] = np.arange(10) == 0
    cell.columns["reached"] = cell.columns["success"].astype(float)
    assert at_budget([cell], "linf", EPS, "net") == (
        "Changing each pixel by at most 8 of 255 levels fools net on 4 of the 10 images, "
        "on 1 of them into the class aimed at."
    )


def test_only_images_left_standing_are_in_doubt():
    standing = replace(attack("a", {1}), findings=[MASKED])
    fallen = replace(attack("a", set(range(10))), findings=[MASKED])
    assert cell_doubts(standing, []) == invalid_codes([standing], []) == ("zero-gradients",)
    assert cell_doubts(fallen, []) == invalid_codes([fallen], []) == ()
    # Answers that depend on the batch are no weakness of the attack: they doubt a success too.
    other = replace(fallen, findings=[MASKED | {"code": "batch-dependent"}])
    assert cell_doubts(other, []) == invalid_codes([other], []) == ("batch-dependent",)


def test_the_codes_of_weak_attacks_are_codes_of_rules():
    from vauban.evaluate.adaptation import search
    from vauban.evaluate.diagnostics import attack_rules, indicators_rules, preflight_rules
    from vauban.evaluate.diagnostics.findings import Rule
    from vauban.evaluate.planted import outcome

    rules = [
        rule
        for module in (attack_rules, indicators_rules, preflight_rules, search)
        for rule in vars(module).values()
        if isinstance(rule, Rule)
    ]
    codes = {rule.code for rule in rules if rule.severity == "invalid"} | {outcome.MISSED}
    assert codes >= WEAK_ATTACK


def test_doubt_is_voiced_beside_the_sentence_and_not_where_all_is_broken(tmp_path, fake_run):
    run = load(fake_run.build(tmp_path, n=50, models=("m",), defences=("none",)))
    for cell in run.cells:
        cell.findings.append(MASKED)
    (doubted,) = headlines(run)
    assert doubted.plain.startswith("Changing each pixel by at most 8 of 255 levels fools m on ")
    assert doubted.plain.endswith("What is left standing cannot be relied on: see the findings.")
    html = page.page(run)
    assert doubted.plain in html
    assert '<div class="bound doubted">' in html
    for cell in run.cells:
        rows = len(cell.columns["id"])
        cell.columns.update(success=np.ones(rows, bool), linf=np.full(rows, 1 / 255))
        cell.columns.update(misclassified=np.ones(rows), reached=np.ones(rows))
    (broken,) = headlines(run)
    assert (broken.standing, broken.invalid) == (False, ())
    html = page.page(run)
    assert "Changing each pixel by at most 1 of 255 levels fools m on every one of the " in html
    assert "cannot be relied on: see" not in html
    assert "no finding about an attack that is weaker than it looks changes the verdict" in html
    assert not re.search(r'class="[^"]*doubted', html)
    for cell in run.cells:
        cell.findings.clear()
    assert "No evidence of masking" not in page.page(run)


def test_examples_have_the_names_of_their_classes(tmp_path, fake_run):
    run = load(fake_run.build(tmp_path, n=50, models=("m",), defences=("none",)))
    assert "class 4, " in page.page(run)
    animals = [f"animal {letter}" for letter in "abcdefghij"]
    for cell in run.cells:
        cell.meta["class_names"] = animals
    html = page.page(run)
    assert "animal e, " in html
    assert "class 4, " not in html
    for cell in run.cells:
        cell.meta["class_names"] = [str(k) for k in range(10)]
    assert "class 4, " in page.page(run)


@pytest.mark.slow
def test_the_number_of_images_stands_in_the_headline(run_folder: Path):
    run: Run = load(run_folder)
    assert ", 200 images</span>" in page.page(run)
