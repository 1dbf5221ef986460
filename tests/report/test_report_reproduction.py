"""The page of a reproduction: complete, escaped, offline, legible in a real browser; its Markdown table."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re

import pytest
from PIL import Image

from vauban.core.errors import ContractError
from vauban.report.reproduction import page as reproduction
from vauban.report.reproduction.comparison_dots import dot_panels
from vauban.report.reproduction.metric_table import table_by_key, table_by_name
from vauban.report.reproduction.number_text import (
    difference_interval,
    difference_text,
    our_number,
    printed_number,
    source_quote,
)
from vauban.report.reproduction.row_labels import row_label
from vauban.statistics.compare import compare
from vauban.statistics.intervals import Interval

EVIL = "<script>alert(1)</script>|`x`"
NETWORKS = ("IncV3_a", "IncV4", "IncRes_a", "IncV3_b", "IncRes_b")
METRICS = ("targeted_success_rate", "misclassification_rate")


def picture(width=64, height=32):
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def table2(setting="stand-in", n=400, seeds=1, **changed):
    """Rows shaped as the paper's Table 2: three budgets, two rates, five networks; one damaged, one blank."""
    rows = []
    for at, (delta, metric, network) in enumerate(itertools.product((4, 8, 16), METRICS, NETWORKS)):
        paper = round(0.03 + 0.0317 * at, 3)
        certain, raw, note = (at != 7, f"{100 * paper:.1f}%", "")
        if not certain:
            raw, note = f'"{100 * paper:.1f}%-', "a stray glyph precedes the number"
        key = {
            "attack": "CIA-targeted",
            "defence": "none",
            "delta_255": str(delta),
            "metric": metric,
            "network": network,
        }
        ours = [min(1.0, paper + 0.04 * (at % 5) - 0.02 + 0.01 * s) for s in range(seeds)]
        rows.append(
            compare(
                key=key,
                label=f"Δ={delta}, {network}: {metric.replace('_', ' ')}",
                metric=metric,
                per_seed=ours,
                n=n,
                printed=None if at == 11 else paper,
                printed_n=1000,
                setting=setting,
                certain=certain and at != 11,
                raw=raw,
                note=note,
                **changed,
            )
        )
    return rows


def table5(setting="same"):
    """Rows shaped as the thesis' Table 5.2: three metrics of each attack, one a distance, one with a threshold."""
    rows = []
    names = [("FGSM", "1"), *itertools.product(("I-FGSM", "PGD2", "C&W", "DDN", "BP"), ("20", "100"))][:10]
    for at, (attack, iterations) in enumerate(names):
        success, distance = min(1.0, 0.89 + 0.02 * at), 5.8 - 0.59 * at
        for metric, paper, ours in (
            ("P_suc", success, success - 0.01),
            ("D_avg_L2", distance, distance + 0.02 * at),
            ("P_upp", 0.1 * at, 0.1 * at + 0.01),
        ):
            key = {"attack": attack, "D_upp": "2" if metric == "P_upp" else "", "dataset": "MNIST"}
            key |= {"iterations": iterations, "metric": metric}
            spread = (
                {"unit": "distance", "interval": Interval(ours - 0.05, ours + 0.05)} if metric == "D_avg_L2" else {}
            )
            rows.append(
                compare(
                    key=key,
                    label="",
                    metric=metric,
                    per_seed=[ours],
                    n=990,
                    printed=paper,
                    printed_n=990,
                    setting=setting,
                    raw=f"{paper:.2f}",
                    **spread,
                )
            )
    return rows


def line(name, x, y):
    return {"name": name, "x": x, "y": y}


def curves():
    """Two figures, six lines: an operating characteristic and a sweep."""
    grid = [0.05 * k for k in range(41)]
    steps = [line(f"attack {k}", grid, [min(1.0, (x / 2) ** (0.4 + 0.5 * k)) for x in grid]) for k in range(4)]
    sweep = [line("BP", [20.0, 50.0, 100.0], [1.44, 1.43, 1.41]), line("DDN", [20.0, 50.0, 100.0], [1.6, 1.5, 1.2])]
    return [
        {
            "title": "Operating characteristic",
            "caption": "P(D) on MNIST.",
            "x_label": "D",
            "y_label": "P(D)",
            "step": True,
            "series": steps,
        },
        {
            "title": "Iterations",
            "caption": "",
            "x_label": "iterations",
            "y_label": "mean distance",
            "step": False,
            "series": sweep,
        },
    ]


def dots(n=40, name="images"):
    """A figure of dots on the diagonal."""
    values = [0.5 * k for k in range(n)]
    return {
        "kind": "scatter",
        "title": name,
        "caption": name,
        "x_label": name,
        "y_label": name,
        "series": [line(name, values, values)],
    }


def beyond(label="PGD, 20 gradients"):
    return [
        compare(
            key={},
            label=f"{label}: {metric.replace('_', ' ')}",
            metric=metric,
            per_seed=[0.4321],
            n=400,
            printed=None,
            printed_n=1000,
            setting="stand-in",
        )
        for metric in METRICS
    ]


def record(**changed):
    networks = {
        name: {"spec": f"small-plain:weights=experiments/{name}.safetensors", "fingerprint": f"fp-{name}"}
        for name in NETWORKS
    }
    return {
        "id": "cia-2",
        "title": "Table 2: one network attacked, five judged",
        "scale": "small",
        "setting": "stand-in",
        "source": "Clipping Free Attacks Against Neural Networks, under review at ICLR 2018",
        "scale_note": "five small networks on CIFAR-10 in place of five ImageNet networks",
        "command": "vauban reproduce cia-2 --scale small",
        "created": "2026-11-20T20:00:00+00:00",
        "version": "0.2.0",
        "minutes": 3.21,
        "images": 400,
        "seeds": [0],
        "data": {"name": "cifar10/test", "fingerprint": "fp-data"},
        "models": networks,
        "notes": ["Targets are drawn uniformly."],
        "rows": table2(),
        "beyond": beyond(),
        "figures": [],
        "pictures": [{"title": "Before and after", "caption": "Left: original.", "png": picture()}],
    } | changed


def put(folder, **changed):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "reproduction.json").write_text(json.dumps(record(**changed)), encoding="utf-8")
    return folder


@pytest.fixture
def folder(tmp_path):
    return put(tmp_path / "cia-2-small")


def text_of(html):
    return re.sub(r"<(style|title)>.*?</\1>", "", html, flags=re.DOTALL)


def test_every_number_is_on_the_page(folder):
    target = reproduction.write(folder)
    assert target == folder / "report.html"
    html = text_of(target.read_text(encoding="utf-8"))
    body = html[html.index("<tbody>") :]
    lines = re.findall(r"<tr.*?</tr>", body, flags=re.DOTALL)
    for held, line in zip(table_by_key(record()["rows"]).lines, lines, strict=False):
        for row in held.rows:
            assert printed_number(row) in line
            assert f">{100 * row['ours']:.1f}\u00a0%<" in line
            assert f"[{100 * row['low']:.1f}–{100 * row['high']:.1f}\u00a0%]" in line
            assert difference_text(row) in line
            assert difference_interval(row) in line
            assert row["reason"] in line
    assert "over 400 images" in html
    assert html.count("43.2\u00a0%") >= 2
    for fact in ("fp-data", "fp-IncV4", "3.2 min", "cifar10/test", "0.2.0", "vauban reproduce cia-2 --scale small"):
        assert fact in html


@pytest.mark.parametrize("part", ["title", "source", "scale_note"])
def test_what_was_compared_is_said(folder, part):
    assert record()[part] in reproduction.write(folder).read_text(encoding="utf-8")


def test_every_reason_is_explained(folder):
    html = reproduction.write(folder).read_text(encoding="utf-8").replace("&#39;", "'")
    for why in {row["why"] for row in record()["rows"]}:
        assert html.count(why) >= 1
    shared = next(row["why"] for row in record()["rows"] if row["reason"] == "different setting")
    assert html.count(shared) == 1


def test_damaged_values_are_shown_and_not_scored(folder):
    html = reproduction.write(folder).read_text(encoding="utf-8")
    damaged = [row for row in record()["rows"] if not row["certain"]]
    assert len(damaged) == 2
    assert len(re.findall(r'<td class="n[^"]* unscored">', html)) == 2
    assert "source: <code>&#34;25.2%-</code>" in html
    assert "a stray glyph precedes the number" in html
    # One dot in the chart and one in the legend; the blank value has no dot.
    assert html.count('class="paper unsure"') == 2
    assert html.count('class="paper"') == 28 + 1
    # 30 cells, two beyond the paper, one in the legend.
    assert html.count('class="ours"') == 30 + 2 + 1


def test_dots_stand_at_the_numbers(folder):
    html = reproduction.write(folder).read_text(encoding="utf-8")
    row = record()["rows"][0]
    (lane,) = re.findall(r'<svg role="img" aria-label="Δ=4, IncV3_a, targeted success rate.*?</svg>', html, re.DOTALL)
    assert f'class="ours" cx="{100 * row["ours"]:.2f}%"' in lane
    assert f'class="paper" cx="{100 * row["printed"]:.2f}%"' in lane
    assert f'x1="{100 * row["low"]:.2f}%" x2="{100 * row["high"]:.2f}%"' in lane


def test_seeds_are_points_only_where_there_are_several(tmp_path):
    one = reproduction.page(record())
    three = reproduction.page(record(rows=table2(seeds=3), seeds=[0, 1, 2]))
    assert 'class="seed"' not in one
    assert three.count('class="seed"') == 90


def test_every_string_is_escaped(tmp_path):
    rows = table2()
    for name in ("label", "metric", "raw", "note", "why"):
        rows[7][name] = EVIL
    rows[7]["key"] = dict.fromkeys(rows[7]["key"], EVIL)
    models = {EVIL: {"spec": EVIL, "fingerprint": EVIL}}
    words = dict.fromkeys(("id", "title", "source", "scale", "scale_note", "command", "created", "version"), EVIL)
    pictures = [{"title": EVIL + '"', "caption": EVIL, "png": picture()}]
    evil = put(
        tmp_path,
        rows=rows,
        beyond=beyond(EVIL),
        models=models,
        notes=[EVIL],
        pictures=pictures,
        data={"name": EVIL, "fingerprint": EVIL},
        figures=[dots(name=EVIL + '"')],
        **words,
    )
    html = reproduction.write(evil).read_text(encoding="utf-8")
    assert "alert(1)" in html
    assert "<script" not in html
    table = reproduction.markdown(evil)
    assert "<script" not in table
    for part in re.split(r"\n(?!\|)", table):
        widths = [len(re.findall(r"(?<!\\)\|", line)) for line in part.splitlines() if line.startswith("|")]
        assert len(set(widths)) <= 1


def test_every_dot_of_a_scatter_is_drawn_and_the_diagonal_is_named():
    html = reproduction.page(record(figures=[dots(40), *curves(), dots(0)]))
    assert html.count('<circle class="dot" cx="') == 40 + 2  # and one in each legend
    assert html.count('<line class="diagonal"') == 2 + 2
    assert html.count("</svg>equal</li>") == 2
    assert html.count('<span class="soft">(no points)</span>') == 1


def test_nothing_is_loaded_from_elsewhere(folder):
    html = reproduction.write(folder).read_text(encoding="utf-8")
    links = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert [link for link in links if not link.startswith(("#", "data:"))] == []
    assert not re.search(r"@import|url\(|https?:", html)
    assert "default-src 'none'" in html


def test_headers_have_a_scope_and_links_a_target(folder):
    html = reproduction.write(folder).read_text(encoding="utf-8")
    assert "<th>" not in html
    assert len(re.findall(r"<th ", html)) == len(re.findall(r'<th scope="(?:row|col|colgroup)"', html))
    for target in re.findall(r'href="#([^"]+)"', html) + re.findall(r'aria-labelledby="([^"]+)"', html):
        assert html.count(f'id="{target}"') == 1
    assert all("aria-label" in svg or "aria-hidden" in svg for svg in re.findall(r"<svg[^>]*>", html))
    assert '<img src="data:image/png;base64,' in html
    assert 'alt="Before and after"' in html


def test_panels_group_by_what_changes_slowly():
    drawn = dot_panels(table2())
    assert [panel.heading for panel in drawn][:2] == [
        "targeted success rate · delta 4/255",
        "misclassification rate · delta 4/255",
    ]
    assert [len(panel.lanes) for panel in drawn] == [5] * 6
    assert [lane.name for lane in drawn[0].lanes] == list(NETWORKS)
    loose = dot_panels(beyond())
    assert [(panel.heading, [lane.name for lane in panel.lanes]) for panel in loose] == [
        ("targeted success rate", ["PGD, 20 gradients"]),
        ("misclassification rate", ["PGD, 20 gradients"]),
    ]
    assert dot_panels([]) == []


def test_what_a_run_can_say():
    assert "can confirm or refute" in reproduction.meaning(record())
    same = reproduction.meaning(record(setting="same", rows=table2("same")))
    assert "compatible does not mean equal" in same
    rows = table2("same")
    half = sorted((row["diff_high"] - row["diff_low"]) / 2 for row in rows if row["diff_low"] is not None)
    assert f"{100 * half[len(half) // 2]:.1f} points" in same
    assert "no numbers here" in reproduction.meaning(record(rows=[]))


def test_a_run_with_nothing_printed_still_has_a_page(tmp_path):
    only = put(tmp_path, rows=[], pictures=[], notes=[])
    html = reproduction.write(only).read_text(encoding="utf-8")
    assert 'id="numbers"' not in html
    assert 'id="pictures"' not in html
    assert "43.2\u00a0%" in html
    assert reproduction.markdown(only).startswith("Beyond the paper")


def test_markdown_columns(folder):
    """Keys that name no metric make no grid: one line for each number."""
    rows = table2()
    for row in rows:
        del row["key"]["metric"]
    put(folder, rows=rows)
    lines = reproduction.markdown(folder).splitlines()
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|") == 7
    row = rows[0]
    fields = [field.strip() for field in lines[2].strip("|").split("|")]
    assert fields == [
        "Δ=4, IncV3_a",
        "targeted success rate",
        printed_number(row),
        our_number(row),
        f"{difference_text(row)} {difference_interval(row)}",
        "different setting",
    ]
    assert 'source: "25.2%-' in lines[9]
    assert "% ? (" in lines[9]
    assert lines[9].endswith("| not scored |")
    assert f"? {reproduction.UNCERTAIN}." in lines
    assert lines[-1].startswith("| PGD, 20 gradients | 43.2\u00a0% [")


def test_cells_of_ours_are_gathered_where_they_share_labels():
    """One line a label; a metric that a cell has not is left empty, and one that it has twice gathers nothing."""
    first = table2()[0]

    def cell(label, metric):
        return first | {"label": f"{label}: {metric}", "metric": metric, "key": {}}

    rows = [cell("BP", "P_suc"), cell("BP", "D_median_L2"), cell("DDN", "D_median_L2")]
    gathered = table_by_name(rows, row_label)
    assert gathered.metrics == ("P_suc", "D_median_L2")
    assert [line.names for line in gathered.lines] == [("BP",), ("DDN",)]
    assert [[row is not None for row in line.rows] for line in gathered.lines] == [[True, True], [False, True]]
    assert gathered.lines[1].rows[1] is rows[2]
    assert table_by_name([*rows, cell("BP", "P_suc")], row_label) is None
    assert table_by_name([cell("BP", "P_suc"), cell("DDN", "P_suc")], row_label) is None


@pytest.mark.parametrize(
    ("given", "shown"), [("25%", ""), ("25,0%", ""), ("25.0", ""), ("25.0%-", "25.0%-"), ("^5%", "^5%"), ("24%", "24%")]
)
def test_the_source_is_quoted_where_it_differs(given, shown):
    assert source_quote(table2()[0] | {"printed": 0.25, "raw": given}) == shown


def test_one_line_has_all_metrics_of_an_attack(tmp_path):
    folder = put(tmp_path, rows=table5(), beyond=[], setting="same")
    lines = [
        [field.strip() for field in line.strip("|").split("|")] for line in reproduction.markdown(folder).splitlines()
    ]
    ours = "ours [95 % interval], n"
    assert lines[0] == [
        "Attack",
        "Iterations",
        "P suc: paper",
        ours,
        "D avg L2: paper",
        ours,
        "P upp, D upp: 2: paper",
        ours,
        "Reason",
    ]
    assert len(lines) == 2 + 10
    assert lines[2][:5] == ["FGSM", "1", "89.0\u00a0%", "88.0\u00a0% [85.8–89.9\u00a0%], n\u00a0=\u00a0990", "5.80"]
    assert lines[2][5] == "5.80 [5.75–5.85], n\u00a0=\u00a0990"
    assert lines[2][8] == "real disagreement (P upp); compatible (P suc, D avg L2)"
    html = text_of(reproduction.write(folder).read_text(encoding="utf-8"))
    assert "below about 2.6 points or 0.050 in distance" in html
    body = html[html.index("<tbody>") : html.index("</tbody>")]
    assert body.count("<tr>") == 10
    assert "5.80\u00a0%" not in html
    for row in table5():
        assert all(f">{text}<" in body for text in (printed_number(row), difference_interval(row)))


def test_a_grid_needs_several_metrics_on_its_lines_and_none_twice():
    rows = table5()
    assert table_by_key(rows).metrics == ("P_suc", "D_avg_L2", "P_upp")
    assert table_by_key([row for row in rows if row["metric"] == "P_suc"]) is None
    assert table_by_key([*rows, rows[0]]) is None
    assert table_by_key(beyond()) is None


def test_lanes_take_more_names_where_panels_would_be_small():
    drawn = dot_panels(table5())
    assert [panel.heading for panel in drawn] == ["P suc", "D avg L2", "P upp · D upp: 2"]
    assert [lane.name for lane in drawn[0].lanes][:3] == ["FGSM · 1", "I-FGSM · 20", "I-FGSM · 100"]
    assert [panel.top for panel in drawn] == [1, 6, 1]
    assert drawn[1].ticks == ("0", "3", "6")


@pytest.mark.parametrize(
    ("number", "shown"),
    [(5.8, "5.80"), (0.527, "0.527"), (0.9999, "1.00"), (0.0099, "0.010"), (0.0012, "0.0012"), (0.0, "0")],
)
def test_distances_have_two_or_three_digits(number, shown):
    row = next(row for row in table5() if row["metric"] == "D_avg_L2")
    assert our_number(row | {"ours": number, "low": 0.5, "high": None}).startswith(f"{shown} [0.500–∞], n")
    assert difference_text(row | {"difference": -number}) == (f"−{shown}" if number else "0")


@pytest.mark.parametrize(
    ("paper", "given", "shown"), [(0.53, "0.53", "0.53"), (5.8, "5.80", "5.80"), (5.8, "5.8?", "5.80")]
)
def test_a_printed_distance_keeps_its_digits(paper, given, shown):
    row = next(row for row in table5() if row["metric"] == "D_avg_L2")
    assert printed_number(row | {"printed": paper, "raw": given}) == shown


def test_a_rate_printed_as_a_fraction_is_no_other_number():
    assert source_quote(table2()[0] | {"printed": 0.89, "raw": "0.89"}) == ""
    assert source_quote(table2()[0] | {"printed": 0.89, "raw": "0.89%"}) == "0.89%"


@pytest.mark.parametrize("field", ["figures", "unit"])
def test_an_old_record_is_refused_in_one_line(tmp_path, field):
    old = record()
    for holder in (old, *old["rows"]):
        holder.pop(field, None)
    (tmp_path / "reproduction.json").write_text(json.dumps(old))
    with pytest.raises(ContractError, match=f"{field}.*run it again") as error:
        reproduction.write(tmp_path)
    assert "\n" not in str(error.value)


def test_signs_of_differences():
    row = table2()[0]
    shown = [difference_text(row | {"difference": value}) for value in (0.1234, -0.05, 0.0001, -0.0001, None)]
    assert shown == ["+12.3", "−5.0", "0.0", "0.0", "–"]


@pytest.mark.parametrize("text", ["{", "[]", '{"id": "x"}'])
def test_a_damaged_record_is_one_line(tmp_path, text):
    (tmp_path / "reproduction.json").write_text(text)
    with pytest.raises(ContractError, match=r"reproduction\.json") as error:
        reproduction.write(tmp_path)
    assert "\n" not in str(error.value)


def test_a_picture_that_is_none_is_refused(tmp_path):
    with pytest.raises(ContractError, match="PNG"):
        reproduction.write(put(tmp_path, pictures=[{"title": "", "caption": "", "png": "%%%"}]))


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_opens_in_a_browser_without_errors_or_sideways_scrolling(folder, browser_class, hang_after, width, dark):
    put(folder, rows=table5(), figures=[*curves(), dots()])
    if browser_class.BINARY is None:
        pytest.skip("no Chromium on this machine: the page is not opened in a browser")
    target = reproduction.write(folder)
    opened = browser_class.Browser(hang_after)
    try:
        opened.open(target, width=width, dark=dark)
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        # Lanes neither collapse nor grow to the default height of an svg.
        lowest, highest = opened.evaluate(
            "(() => { const h = [...document.querySelectorAll('.plot svg')].map(s => s.getBoundingClientRect().height);"
            " return [Math.min(...h), Math.max(...h)] })()"
        )
        assert 20 <= lowest <= highest <= 80
        assert opened.errors == []
        assert all(request.startswith(("file:", "data:")) for request in opened.requests)
    finally:
        opened.close()
