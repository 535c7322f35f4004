"""What figures and instruments share: a colour for each role, text that can be drawn, small PNGs.

matplotlib is loaded by the first call that needs it.
"""

import io
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

QUERY, KEY, VALUE = "#0072B2", "#D55E00", "#009E73"
OUTPUT, POSITION, LOSS = "#CC79A7", "#56B4E9", "#E69F00"
SANS, MONO = "DejaVu Sans", "DejaVu Sans Mono"  # come with matplotlib
_SIGNS = {" ": "␣", "\n": "↵", "\r": "↵", "\t": "⇥", "\u200d": "\u200d"}
_HIDDEN = {"Cc", "Cf", "Zs", "Zl", "Zp"}


def visible(token: str) -> str:
    """Spaces, line ends and invisible characters as signs; what joins an emoji stays.

    The same as `visible` in instruments/view/tokens.js.
    """
    if not token:
        return "∅"
    return "".join(
        _SIGNS.get(c, f"U+{ord(c):04X}") if unicodedata.category(c) in _HIDDEN else c
        for c in token.replace("\r\n", "\n")
    )


def cut(text: str, longest: int) -> str:
    """The beginning of a text, with … where something is left out."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def drawable(text: str, fonts: tuple[str, ...] = (SANS, MONO)) -> str:
    """`text` with □ for what not all of these fonts can draw, such as emoji."""
    known = _glyphs(fonts)
    return "".join(c if c == "\n" or ord(c) in known else "□" for c in text)


def small_png(image: "Image", colours: int) -> bytes:
    """An RGB image as PNG with so many colours, chosen from it: a third of the bytes."""
    from PIL.Image import Dither, Quantize

    palette, buffer = image.quantize(colours, Quantize.MEDIANCUT, dither=Dither.NONE), io.BytesIO()
    palette.save(buffer, format="png", optimize=True)
    return buffer.getvalue()


@cache
def _glyphs(fonts: tuple[str, ...]) -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset.intersection(
        *(frozenset(get_font(findfont(font)).get_charmap()) for font in fonts)
    )
