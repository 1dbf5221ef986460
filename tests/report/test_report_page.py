"""The page: escaped, self-contained, and alive in a real browser."""

from __future__ import annotations

import csv
import io
import json
import re
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from vauban.report import write
from vauban.report.run import page
from vauban.report.run.example_images import amplified_perturbation
from vauban.store import Store, load

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def evil_folder(fake_run, tmp_path_factory):
    folder = fake_run.build(tmp_path_factory.mktemp("evil"), n=50, models=(EVIL,), defences=("none", "</style>\"'&"))
    store = Store(folder)
    store.write_study({"title": EVIL, "command": f"vauban --model '{EVIL}'"})
    store.write_findings([{"code": EVIL, "message": EVIL, "advice": EVIL, "about": EVIL}])
    store.cells()[0].fail(99, EVIL, EVIL)
    return folder


@pytest.fixture(scope="module")
def browser(browser_class, hang_after):
    if browser_class.BINARY is None:
        pytest.skip("no Chromium on this machine: the page is not opened in a browser")
    opened = browser_class.Browser(hang_after)
    yield opened
    opened.close()


def test_every_string_is_escaped(evil_folder):
    html = write(evil_folder).read_text(encoding="utf-8")
    assert "alert(1)" in html
    assert EVIL not in html
    assert "</style>\"'&" not in html
    assert html.count("<script") == 2
    assert html.count("</script>") == 2


def test_chart_data_cannot_leave_its_element(evil_folder):
    html = page.page(load(evil_folder))
    (text,) = re.findall(r'<script type="application/json" id="chart-data">(.*?)</script>', html, re.DOTALL)
    assert "<" not in text
    assert json.loads(text)["panels"][0]["model"] == EVIL


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(run_folder):
    html = write(run_folder).read_text(encoding="utf-8")
    outside = [link for link in re.findall(r'(?:src|href)="([^"]*)"', html) if not link.startswith(("#", "data:"))]
    assert outside == []
    assert not re.search(r"@import|url\(", html)
    assert "default-src 'none'" in html


@pytest.mark.slow
def test_the_words_of_the_page(run_folder):
    html = write(run_folder).read_text(encoding="utf-8")
    assert "covers the sampling of the images only" in html
    assert "is an upper bound" in html
    assert "square broke 12.0 % of the images that apgd did not" in html
    assert "out of memory after halving the batch to 1" in html
    assert "made by code that has changed since: /gone/attack.py" in html
    assert "vauban evaluate --model cifar10-cnn --data &#39;cifar10/test[:200]&#39;" in html
    assert not re.search(r"surviv|is robust|strongest", html)


def test_no_findings_is_no_praise(fake_run, tmp_path):
    html = write(fake_run.build(tmp_path, n=50, models=("m",), defences=("none",))).read_text(encoding="utf-8")
    assert "No evidence of masking found" in html


def test_what_was_not_checked_is_not_cleared(fake_run, tmp_path):
    folder = fake_run.build(tmp_path, n=50, models=("m",), defences=("none",))
    (Store(folder).cells()[0].path / "findings.json").unlink()
    html = write(folder).read_text(encoding="utf-8")
    assert "No evidence of masking found" not in html
    assert "1 cell was not checked for masked gradients" in html


def test_a_run_without_rows_and_one_with_a_clean_cell_alone(tmp_path, fake_run):
    store = Store(tmp_path / "empty")
    store.write_study({"command": ["vauban", "evaluate", "--data", "a b"]})
    html = write(tmp_path / "empty").read_text(encoding="utf-8")
    assert "No attack has finished a batch yet" in html
    assert "vauban evaluate --data &#39;a b&#39;" in html
    cell = store.cell("clean")
    cell.create({"model": "m", "defence": "none", "data": "d", "attack": "none", "clean_only": True, "n": 1})
    cell.append(0, {"id": [0], "y": [1], "clean_label": [1], "clean_correct": [1.0], "clean_confidence": [0.5]})
    assert "No attack has finished a batch yet" in write(tmp_path / "empty").read_text(encoding="utf-8")


def test_a_single_failed_attack_makes_a_page(tmp_path, fake_run):
    folder = fake_run.build(tmp_path, n=50, models=("m",), defences=("none",))
    run = load(folder)
    for cell in run.cells:
        rows = len(cell.columns["id"])
        far = dict.fromkeys(("l0", "l1", "l2", "linf", "raw_l2", "raw_linf"), np.full(rows, np.inf))
        never = dict.fromkeys(("success", "raw_success"), np.zeros(rows, bool))
        zero = dict.fromkeys(("misclassified", "reached"), np.zeros(rows))
        cell.columns.update(far | never | zero | {"adv_png": np.full(rows, None)})
    html = page.page(run)
    assert "∞" in html
    assert 'id="examples"' not in html


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_perturbation_is_amplified_around_gray(mode):
    generator = np.random.default_rng(0)
    shape = (6, 5) if mode == "L" else (6, 5, 3)
    clean = generator.integers(40, 200, shape).astype(np.uint8)
    adv = clean.copy()
    adv[0, 0] += 8
    adv[1, 1] -= 4
    picture, gain = amplified_perturbation(_png(clean), _png(adv))
    shown = np.asarray(Image.open(io.BytesIO(picture)), float) / 255
    assert gain == pytest.approx(255 / 16)
    assert np.allclose(shown[0, 0], 1.0)
    assert np.allclose(shown[1, 1], 0.25, atol=1 / 255)
    assert np.allclose(shown[3, 3], 0.5, atol=1 / 255)
    flat, none = amplified_perturbation(_png(clean), _png(clean))
    assert none == 0.0
    assert np.allclose(np.asarray(Image.open(io.BytesIO(flat))), 128)


def _png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_a_damaged_example_is_left_out(tmp_path, fake_run):
    run = load(fake_run.build(tmp_path, n=50, models=("m",), defences=("none",)))
    for cell in run.cells:
        cell.columns["adv_png"][:] = b"not a picture"
    assert 'id="examples"' not in page.page(run)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_in_a_browser(browser, run_folder, width, dark):
    browser.open(write(run_folder), width=width, dark=dark)
    assert browser.evaluate("document.querySelectorAll('.panel > svg').length") == 12
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    _press(browser, "L2")
    _press(browser, "log distance")
    _press(browser, "ddn")
    assert browser.evaluate("document.activeElement.textContent") == "ddn"
    assert browser.evaluate("document.activeElement.getAttribute('aria-pressed')") == "false"
    assert browser.evaluate("document.querySelectorAll('.panel path.line:not(.worst)').length") == 8
    _press(browser, "ddn")
    assert browser.evaluate("document.querySelectorAll('.panel path.line:not(.worst)').length") == 16
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith(("file:", "data:"))] == []


@pytest.mark.slow
def test_the_read_out_answers_keys_and_agrees_with_the_rows(browser, run_folder):
    browser.open(write(run_folder))
    _press(browser, "L∞")
    browser.evaluate("document.querySelector('.panel > svg').focus()")
    for _ in range(60):
        browser.evaluate(
            "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'PageDown', bubbles: true}))"
        )
    text = browser.evaluate("document.querySelector('.panel .tip').innerText")
    run = load(run_folder)
    (apgd,) = [c for c in run.cells if c.meta["hash"].startswith("001")]
    right = apgd.columns["clean_correct"] == 1
    assert f"{100 * apgd.columns['success'][right].mean():.1f}\u00a0%" in text
    browser.evaluate(
        "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}))"
    )
    assert browser.evaluate("document.querySelector('.panel .tip').hidden") is True
    assert browser.errors == []


@pytest.mark.slow
def test_threats_have_line_styles_examples_open_large_and_figures_come_as_csv(browser, run_folder):
    browser.open(write(run_folder))
    _press(browser, "L∞")
    styles = (
        "[...document.querySelectorAll('.panel path.line:not(.worst)')].map(p => p.getAttribute('stroke-dasharray'))"
    )
    before = browser.evaluate(styles)
    assert len(set(before)) == 3  # white-box, adaptive and scores-only
    _press(browser, "scores-only")
    after = browser.evaluate(styles)
    assert len(after) == len(before) * 2 // 3  # of three attacks at this norm one asks for scores
    assert len(set(after)) == 2
    _press(browser, "scores-only")
    link = browser.evaluate("document.querySelector('.panel a[download]').href")
    rows = list(csv.DictReader(io.StringIO(unquote(link.split(",", 1)[1]))))
    cells = {cell.meta["hash"][:3]: cell for cell in load(run_folder).cells}
    right = cells["001"].columns["clean_correct"] == 1
    last = [row for row in rows if row["attack"] == "apgd"][-1]
    assert (last["model"], last["defence"], last["threat"]) == ("cifar10-cnn", "none", "white-box")
    assert float(last["p_suc"]) == pytest.approx(cells["001"].columns["success"][right].mean(), rel=1e-4)
    assert browser.evaluate("document.querySelector('dialog').open") is False
    browser.evaluate("document.querySelector('.gallery figure').click()")
    assert browser.evaluate("document.querySelector('dialog').open") is True
    wide = "document.querySelector('dialog img').clientWidth > 2 * document.querySelector('.gallery img').clientWidth"
    assert browser.evaluate(wide) is True
    assert browser.errors == []


@pytest.mark.slow
def test_hostile_names_do_nothing_in_a_browser(browser, evil_folder):
    browser.open(write(evil_folder))
    assert browser.evaluate("document.title") == EVIL
    assert browser.evaluate("document.querySelectorAll('script').length") == 2
    assert EVIL in browser.evaluate("document.querySelector('.panel h4').textContent")
    assert browser.errors == []


def test_the_error_collector_does_collect(browser, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!doctype html><script>setTimeout(() => undefined_function(), 0)</script><img src='http://127.0.0.1:9/x'>"
    )
    browser.open(bad)
    browser.evaluate("new Promise(done => setTimeout(done, 50))")
    assert any("undefined_function" in error for error in browser.errors)
    assert any(url.startswith("http:") for url in browser.requests)


def _press(browser, text):
    browser.evaluate(
        f"[...document.querySelectorAll('button')].find(b => b.textContent === {json.dumps(text)}).click()"
    )
