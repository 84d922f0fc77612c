"""The templates beside this module. Layer: codegen; text only."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2

_FOLDER = Path(__file__).parent / "templates"


def render(template: str, /, **values: Any) -> str:
    """Fill a template; a name it asks for and does not get is a bug, not an empty text."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # C, not HTML
    )
