"""What every instrument shares: its words, its picture, its page, and the question before it.

A subclass names its JavaScript module, validates its numbers, and writes `describe()` and
`picture()`. The module is a plain ES module in `view/`; it imports its helpers by relative path,
so node can test the same files, and `join` makes the one string that anywidget loads.
"""

import base64
import html
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets

from transformer_lab.instruments import export, wire

EXPORT = "TRANSFORMER_LAB_EXPORT"  # set while a lesson runs to become a page
PART = "application/vnd.transformer-lab.part+json"  # then each instrument carries its Part
VIEW = Path(__file__).parent / "view"
_IMPORT = re.compile(r'^import\b[^;]*?\bfrom\s+"\./([\w.]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export\s+(?=(?:async|const|function|class)\b)", re.MULTILINE)
_DEFAULT = re.compile(r"^export default [^\n]*;\n", re.MULTILINE)


def join(module: str) -> str:
    """One ES module: the named file of `view/` behind all it imports, each file once.

    All files share one scope, so a top-level name may be used once; a second use is an error here
    rather than a blank widget there. Only the named file keeps its `export default`.
    """
    parts = _files(module)
    source = "".join(
        f"// {name}\n{part if name == module else _DEFAULT.sub('', part)}\n"
        for name, part in parts.items()
    )
    names = re.findall(r"^(?:async )?(?:const|let|function|class)\s+(\w+)", source, re.MULTILINE)
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{module}: the joined files use {sorted(twice)} twice at top level")
    return source


def _files(module: str) -> dict[str, str]:
    """The named file and all that it imports, each behind what it needs; no `import` is left."""
    parts: dict[str, str] = {}

    def add(name: str) -> None:
        source = (VIEW / name).read_text(encoding="utf-8")
        for needed in _IMPORT.findall(source):
            if needed not in parts:
                add(needed)
        parts[name] = _EXPORT.sub("", _IMPORT.sub("", source))

    add(module)
    return parts


class Instrument(anywidget.AnyWidget):
    """A widget that also has words (`describe`), a picture (`picture`) and a page (`to_html`).

    `predict=(question, options)` hides the picture until the learner answers or skips. `answer` is
    None before, the chosen option after, and "" if skipped; lessons may observe it. Instruments on
    one page that share a group's name choose the same token together.
    """

    module: ClassVar[str] = ""
    group = traitlets.Unicode("").tag(sync=True)
    question = traitlets.Unicode("").tag(sync=True)
    options = traitlets.List(traitlets.Unicode()).tag(sync=True)
    answer = traitlets.Unicode(None, allow_none=True).tag(sync=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "module" in vars(cls):
            styles = [VIEW / Path(name).with_suffix(".css") for name in _files(cls.module)]
            sheets = [VIEW / "base.css", *(style for style in styles if style.exists())]
            cls._esm = join(cls.module)
            cls._css = "\n".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
        super().__init_subclass__(**kwargs)

    def __init__(self, predict: tuple[str, Sequence[str]] | None = None, **state: Any) -> None:
        if predict is not None:
            question, options = predict
            if len(options) < 2:
                raise ValueError(f"predict needs a question and >= 2 options, not {predict!r}")
            state |= {"question": wire.text(question), "options": [wire.text(o) for o in options]}
        super().__init__(**state)

    def describe(self) -> str:
        """What the instrument shows, in one or two sentences with two or three real numbers.

        The same on every machine: round so far that the last bits of a float cannot show.
        """
        raise NotImplementedError

    def picture(self) -> bytes | None:
        """The present state as a PNG of 5 to 15 KB, about 7 inches wide; None if words are all."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.describe()

    def figure(self) -> str:
        """The picture with its words as HTML; behind a fold while a question is open."""
        return self._figure(self.picture())

    def _figure(self, picture: bytes | None) -> str:
        words, image = html.escape(self.describe()), ""
        if picture is not None:
            data = base64.b64encode(picture).decode()
            image = f'<img alt="{words}" src="data:image/png;base64,{data}" style="max-width:100%">'
        if self.question and self.answer is None:
            asked = f"<summary>{html.escape(self.question)} Decide, then open.</summary>"
            return f"<figure><details>{asked}{image}<p>{words}</p></details></figure>"
        return f"<figure>{image}<figcaption>{words}</figcaption></figure>"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        picture = self.picture()
        still = {"text/plain": self.describe(), "text/html": self._figure(picture)}
        if picture is not None:
            still["image/png"] = base64.b64encode(picture).decode()
        if os.environ.get(EXPORT):
            still[PART] = export.plain(self.page_part()._asdict())
        return {**data, **still}, metadata

    def state(self) -> dict[str, Any]:
        """The synced traits of the instrument itself, as the browser gets them."""
        ours = [k for k in self.keys if not k.startswith("_")]
        return self.get_state([k for k in ours if k not in {"layout", "tabbable", "tooltip"}])

    def page_part(self, **state: Any) -> export.Part:
        """What a page needs to show this instrument as it is now, but for the traits given."""
        return export.Part(self._esm, self._css, {**self.state(), **state}, self.describe())

    def to_html(self, path: str | Path | None = None, **state: Any) -> str:
        """One offline page that needs neither kernel nor network; written to `path` if given.

        `state` overrides traits on the page alone.
        """
        page = export.page(type(self).__name__, [self.page_part(**state)])
        if path is not None:
            Path(path).write_text(page, encoding="utf-8")
        return page
