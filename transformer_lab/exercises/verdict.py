"""What a check says: plain text anywhere, a quiet block in a notebook, the same every time."""

import html
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LOOK = {  # sign, words, and the colour of the rule beside them, which says nothing more
    "passed": ("✓", "Right", "var(--jp-success-color1, #388e3c)"),
    "failed": ("✗", "Not yet right", "var(--jp-warn-color1, #f57c00)"),
    "stub": ("○", "Not written yet", "var(--jp-border-color1, #bdbdbd)"),
}
BLOCK = (
    "border-left: 3px solid {colour}; padding: 2px 12px; max-width: 50em; line-height: 1.5; "
    "color: var(--jp-content-font-color1, inherit)"
)
CODE = (
    "margin: 6px 0; padding: 0; background: transparent; white-space: pre-wrap; "
    "font-family: var(--jp-code-font-family, monospace); font-size: 0.92em; "
    "color: var(--jp-content-font-color1, inherit)"
)


PICTURE = CODE.replace("white-space: pre-wrap; ", "")


class ExerciseFailed(AssertionError):
    """In strict mode: a check that did not pass."""


@dataclass(frozen=True)
class Verdict:
    """The result of one check.

    mistake names what went wrong ("" when it passed, "stub" when nothing is written yet).
    evidence shows one input with expected and got; picture, in a notebook, both as tables where
    these have several rows. working is the learner's function when it
    passed and the reference otherwise, so that a lesson can go on with it.
    """

    title: str
    passed: bool
    message: str
    mistake: str = ""
    evidence: str = ""
    printed: str = ""
    picture: str = ""  # HTML
    working: Callable[..., Any] = field(default=lambda: None, compare=False)

    @property
    def look(self) -> tuple[str, str, str]:
        return LOOK["passed" if self.passed else "stub" if self.mistake == "stub" else "failed"]

    def __repr__(self) -> str:
        sign, words, _ = self.look
        parts = [f"{sign} {self.title} · {words}", self.message, self.evidence]
        if self.printed:
            parts.append(f"Printed by your function:\n{self.printed.rstrip()}")
        return "\n".join(part for part in parts if part)

    def _repr_html_(self) -> str:
        sign, words, colour = self.look
        parts = [
            f"<div><b>{sign} {words}</b> · {html.escape(self.title)}</div>",
            f"<div>{html.escape(self.message)}</div>",
        ]
        if self.evidence:
            parts.append(f'<pre style="{CODE}">{html.escape(self.evidence)}</pre>')
        if self.picture:
            parts.append(f'<div style="{PICTURE}">{self.picture}</div>')
        if self.printed:
            shown = html.escape(self.printed.rstrip())
            parts.append(
                f"<details><summary>Printed by your function</summary>"
                f'<pre style="{CODE}">{shown}</pre></details>'
            )
        return f'<div role="status" style="{BLOCK.format(colour=colour)}">{"".join(parts)}</div>'
