"""Packaged templates, styles and scripts of the pages."""

from __future__ import annotations

from functools import cache
from importlib import resources

import jinja2
from markupsafe import Markup


@cache
def template(name: str) -> jinja2.Template:
    """A packaged template.

    Args:
        name: Its path below the report package, for example `run/template.html`.

    Returns:
        The template: every string put into it is escaped, an unknown name in it is an error.
    """
    loader = jinja2.FunctionLoader(lambda path: str(asset(path)))  # a template may include others
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.get_template(name)


def asset(name: str) -> Markup:
    """The text of a packaged file by its path below the report package, for example `shared/style.css`."""
    return Markup(resources.files("vauban.report").joinpath(name).read_text(encoding="utf-8"))
