"""The JSON summary: its schema holds for runs of all kinds, and its numbers are those of the table."""

import copy
import csv
import io
import json
import math

import jsonschema
import pytest

from vauban.report.run.summary import FORMAT, summary, summary_schema
from vauban.report.run.tables import render
from vauban.store import load


@pytest.fixture(scope="module")
def run(run_folder):
    return load(run_folder, pictures=False)


@pytest.fixture(scope="module")
def common(run):
    return summary(run, "common")


def test_a_run_with_failures_and_findings_fits_the_schema(run, common):
    schema = summary_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    told = json.loads(json.dumps(common, allow_nan=False))
    jsonschema.validate(told, schema)
    assert schema["properties"]["format"] == {"const": FORMAT, "description": "Version of this form."}
    assert (len(told["failures"]), {finding["code"] for finding in told["findings"]}) == (
        1,
        {"black-box-beats-white-box"},
    )
    table = list(csv.DictReader(io.StringIO(render(run, "csv", "common"))))
    assert len(table) == len(told["results"]) > 10
    for shown, raw in zip(table, told["results"], strict=True):
        assert set(shown) >= set(raw)
        for name, value in raw.items():
            text = shown[name]
            if value is None:
                assert text == "" or not math.isfinite(float(text))
            else:
                assert (text == value) if isinstance(value, str) else (float(text) == pytest.approx(value))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda told: told.update(format=2),
        lambda told: told.pop("networks"),
        lambda told: told["results"][0].update(robust_accuracy=1.2),
        lambda told: told["results"][0].update(another=1),
        lambda told: told["networks"][0]["clean_accuracy"].update(n="many"),
    ],
)
def test_the_schema_refuses_another_form(common, spoil):
    told = copy.deepcopy(common)
    spoil(told)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told, summary_schema())
