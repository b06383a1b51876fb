"""What a device's report is made of, before it becomes HTML or markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from bridge.validation.devices.specification import Sheet, Specification


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    words: str


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        svg: the figure, as `bridge.report.style.render` returns it.
        caption: what it shows.
    """

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Grid:
    """A table; the first column is text, the others are numbers if `numeric`."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numeric: bool = True


@dataclass(frozen=True)
class Code:
    """Preformatted text in a language, for example `spice`."""

    text: str
    language: str = ""


@dataclass(frozen=True)
class Formula:
    """An equation, as MathML for the page and as LaTeX for markdown."""

    mathml: Markup
    latex: str


Block = Text | Drawing | Grid | Code | Formula


@dataclass(frozen=True)
class Section:
    """A part of the report under one heading."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Outcome:
    """The validation of one device.

    Attributes:
        device: its name on the command line.
        title: heading of the report.
        description: one paragraph.
        specifications: measured values with their limits.
        sections: the rest of the report.
        seconds: wall time [s].
        asked: what the command named; the device's name when empty.
    """

    device: str
    title: str
    description: str
    specifications: tuple[Specification, ...]
    sections: tuple[Section, ...]
    seconds: float = 0.0
    asked: str = ""

    @property
    def passed(self) -> bool:
        """Whether every specification holds."""
        return all(s.passed for s in self.specifications)


@dataclass
class Findings:
    """What the measurements of one device add to.

    Attributes:
        sheet: its specifications.
        sections: of its report.
    """

    sheet: Sheet
    sections: list[Section] = field(default_factory=list)

    def add(self, title: str, *blocks: Block) -> None:
        """One more section."""
        self.sections.append(Section(title, blocks))
