"""Writes the tables of the documentation from the registries: `python docs/tables.py`. A test keeps them in step."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import torch

from vauban import attacks, certificates, data, defences, metrics, models, threats, training
from vauban.core.annotations import declared
from vauban.core.losses import LOSSES
from vauban.core.norms import Ball, Linf, Norm
from vauban.core.parameters import describe
from vauban.core.registry import Entry
from vauban.training.criteria import registry as criteria
from vauban.training.selections import registry as selections
from vauban.words.labels import fraction

ROOT = Path(__file__).resolve().parents[1]
MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
FAMILIES = {
    "fixed_budget": "at a fixed budget",
    "minimal": "nearest image",
    "smooth": "smooth perturbation",
    "blackbox": "scores or labels only",
    "universal": "one change for all images",
    "standard": "battery",
    "autoattack": "battery",
}
SECTIONS = ("Attributes", "Raises", "Departures")


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def prose(text: str) -> str:
    """A docstring as Markdown: its signs are signs, not marks; arXiv ids are links."""
    kept = re.split(r"(`[^`]*`)", text)
    plain = [part if part.startswith("`") else re.sub(r"([_*<>|\[\]\\])", r"\\\1", part) for part in kept]
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", "".join(plain))


def sentence(text: str) -> str:
    return prose(text.strip().rstrip("."))


def value(item: Any) -> str:
    """A default as one writes it."""
    if isinstance(item, Ball):
        return f"{item.norm.name.capitalize()}({fraction(float(item.radius))})"
    if isinstance(item, Norm):
        return item.name.capitalize()
    return getattr(item, "__name__", None) or repr(item)


def signature(make: Any) -> str:
    """`Name(field=default, ...)`."""
    fields = inspect.signature(make).parameters.values()
    given = [p.name if p.default is p.empty else f"{p.name}={value(p.default)}" for p in fields]
    return f"{make.__name__}({', '.join(given)})"


def family(make: Any) -> str:
    return FAMILIES[make.__module__.removeprefix("vauban.attacks.").split(".")[0]]


def anchor(name: str) -> str:
    return f"[`{name}`](#{name})"


def own_attacks() -> Iterator[Entry[Any]]:
    """The attacks that run no others that they are given."""
    return (entry for entry in attacks.registry if not entry.facts.get("combines"))


def attack_table() -> str:
    rows = []
    for entry in own_attacks():
        fitted = (torch.zeros(1), Linf(0.1)) if entry.facts.get("fitted") else ()
        cost = entry.make(*fitted).passes
        forwards, backwards = ("?", "?") if cost is None else map(str, cost)
        facts = entry.facts
        rows.append(
            [
                anchor(entry.name),
                family(entry.make),
                " ".join(facts["norms"]),
                facts["needs"],
                "yes" if facts.get("targeted") else "no",
                "yes" if facts.get("randomised") else "no",
                forwards,
                backwards,
            ]
        )
    return table(["name", "looks for", "norms", "needs", "targeted", "draws", "forwards", "backwards"], rows)


def paragraphs(make: Any) -> dict[str, list[str]]:
    """Paragraphs of a docstring by section; "" has the prose, "Departures" those paragraphs."""
    sections: dict[str, list[str]] = {}
    for text in (inspect.getdoc(make) or "").split("\n\n"):
        head, _, rest = text.partition(":")
        section = head if head in SECTIONS else ""
        sections.setdefault(section, []).append(rest.strip("\n") if section else text)
    return sections


def items(section: list[str]) -> list[tuple[str, str]]:
    """Name and text of each item of a section in Google form."""
    joined: list[str] = []
    for line in filter(None, (part.strip() for part in "\n".join(section).split("\n"))):
        if re.match(r"\w+(, \w+)*: ", line) or not joined:
            joined.append(line)
        else:
            joined[-1] += f" {line}"
    return [(name, text.strip()) for name, _, text in (item.partition(":") for item in joined)]


def flowing(text: str) -> str:
    """A paragraph on one line, or a formula that stands by itself as it is."""
    if text.startswith("    "):
        return f"```\n{inspect.cleandoc(text)}\n```\n\n"
    return prose(re.sub(r"\s+", " ", text.strip())) + "\n\n"


def asked(make: Any, names: str) -> str:
    """The annotation of parameters in words, where their numbers have a range and they share it."""
    hints = declared(make)
    words = {describe(hints[name]) for name in names.split(", ") if name in hints and limited(hints[name])}
    return f" ({prose(words.pop())})" if len(words) == 1 else ""


def limited(hint: Any) -> bool:
    """Whether an annotation says more than a class: a range, a choice, or true and false."""
    own = isinstance(hint, type(Annotated[int, 0])) or get_origin(hint) is Literal or hint is bool
    return own or any(limited(part) for part in get_args(hint))


def attack_details() -> str:
    """Call, docstring, parameters, departures and source of every attack."""
    out = []
    for entry in own_attacks():
        make, sections = entry.make, paragraphs(entry.make)
        out.append(f"### {entry.name}\n\n`attacks.{signature(make)}`\n\n")
        out += [flowing(text) for text in sections.get("", [])]
        if named := items(sections["Attributes"]) if "Attributes" in sections else []:
            rows = [f"- {parameter(names)}{asked(make, names)}: {prose(text)}\n" for names, text in named]
            out.append("Parameters:\n\n" + "".join(rows) + "\n")
        if "Raises" in sections:
            refused = [f"`{error}`: {prose(text)}" for error, text in items(sections["Raises"])]
            out.append(f"*Raises* {' '.join(refused)}\n\n")
        out += [f"*Departures:* {flowing(text)}" for text in sections.get("Departures", [])]
        module = inspect.getdoc(sys.modules[make.__module__]) or ""
        out.append(f"*Source:* {flowing(module.partition(chr(10) * 2)[2] or module)}")
    return "".join(out).rstrip() + "\n"


def parameter(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split(", "))


def defence_table() -> str:
    rows = []
    for entry in defences.registry:
        card = defences.load(f"{entry.name}:{entry.facts.get('example', '')}".rstrip(":")).card
        rule = {None: "identity"}
        substitutes = [rule.get(r, type(r).__name__) for r in card.backward.values()]
        rows.append(
            [
                f"`{entry.name}`",
                f"`{signature(entry.make)}`",
                "yes" if card.random else "no",
                ", ".join(substitutes) or "its own",
                str(card.draws),
                sentence(card.reference),
            ]
        )
    return table(["name", "call", "random", "gradient of the adaptive attacker", "draws", "source"], rows)


def threat_table() -> str:
    rows = [
        [f"`{e.name}`", f"`{e.make.__name__}`", ", ".join(sorted(e.make.grants)), sentence(e.summary)]
        for e in threats.registry
    ]
    return table(["name", "class", "grants", "what the attacker has"], rows)


def summaries(registry: Any, *facts: str) -> Callable[[], str]:
    def make() -> str:
        rows = []
        for e in registry:
            shown = [", ".join(v) if isinstance(v := e.facts.get(f, ""), tuple) else str(v) for f in facts]
            rows.append([f"`{e.name}`", sentence(e.summary), *shown])
        return table(["name", "what it is", *facts], rows)

    return make


def loss_table() -> str:
    rows = [[f"`{name}`", sentence((inspect.getdoc(loss) or "").split("\n")[0])] for name, loss in LOSSES.items()]
    return table(["name", "value, larger is better for the attacker"], rows)


def overview() -> str:
    """Everything that has a name, for the README."""
    kinds = {
        "attacks": attacks.registry,
        "defences": defences.registry,
        "threats": threats.registry,
        "models": models.registry,
        "data sets": data.registry,
        "metrics": metrics.registry,
        "certificates": certificates.registry,
    }
    rows = [[kind, " ".join(f"`{entry.name}`" for entry in registry)] for kind, registry in kinds.items()]
    return table(["", "built in"], [*rows, ["losses", " ".join(f"`{name}`" for name in LOSSES)]])


def reference(*registries: Any) -> Callable[[], str]:
    """The modules of what is registered, each once, for the pages that are made of docstrings."""

    def make() -> str:
        modules = dict.fromkeys(entry.make.__module__ for registry in registries for entry in registry)
        ours = [module for module in modules if module.startswith("vauban.")]
        return "\n".join(f"::: {module}\n" for module in ours)

    return make


TABLES: dict[str, Callable[[], str]] = {
    "overview": overview,
    "attacks": attack_table,
    "attack-details": attack_details,
    "defences": defence_table,
    "threats": threat_table,
    "models": summaries(models.registry, "data", "weights"),
    "datasets": summaries(data.registry, "splits"),
    "metrics": summaries(metrics.registry),
    "network-metrics": summaries(metrics.network_registry),
    "certificates": summaries(certificates.registry, "norms", "bounds"),
    "losses": loss_table,
    "recipes": summaries(training.registry),
    "criteria": summaries(criteria),
    "reference-attacks": reference(attacks.registry, attacks.fitters),
    "reference-defences": reference(defences.registry, defences.fitters),
    "reference-metrics": reference(metrics.registry),
    "reference-threats": reference(threats.registry),
    "reference-training": reference(training.registry, criteria, selections),
}


def filled(text: str) -> str:
    """A page with its tables made again."""
    return MARKED.sub(lambda mark: f"{mark[1]}\n{TABLES[mark[2]]()}\n{mark[3]}", text)


if __name__ == "__main__":
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        before = page.read_text()
        if (after := filled(before)) != before:
            page.write_text(after)
            print(f"wrote {page.relative_to(ROOT)}")
