"""What a section of the report is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Table:
    """A table: `head` may be empty, the first column is text, the others are numbers if `numeric`."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numeric: bool = True


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        title: its heading.
        figure: SVG.
        caption: below the figure, or above a table that stands alone.
        table: a table below the figure.
        text: preformatted text.
    """

    title: str
    figure: Markup | None = None
    caption: str = ""
    table: Table | None = None
    text: str = ""
