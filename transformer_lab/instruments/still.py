"""Still pictures of instruments: small, the same on every run, and safe for any token."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_lab.look import MONO, drawable, small_png

QUIET = "#595959"  # darker than in figures: the letters are smaller
_ENDS = np.array([[0, 114, 178], [204, 102, 0]])  # -1 and +1, as in view/matrix.js
Pixels = NDArray[np.uint8]


def cividis(values: Any) -> Pixels:
    """[0, 1] -> RGB, shape (..., 3)."""
    import matplotlib as mpl

    index = np.rint(255 * np.clip(np.asarray(values, np.float64), 0, 1)).astype(int)
    return mpl.colormaps["cividis"](index, bytes=True)[..., :3]


def diverging(values: Any) -> Pixels:
    """[-1, 1] -> RGB, shape (..., 3): blue, white at 0, orange."""
    x = np.clip(np.asarray(values, np.float64), -1, 1)[..., None]
    return np.rint(255 + (np.where(x < 0, _ENDS[0], _ENDS[1]) - 255) * abs(x)).astype(np.uint8)


def hatch(height: int, width: int) -> Pixels:
    """Light stripes that stand for a masked cell."""
    stripe = np.add.outer(np.arange(height), np.arange(width)) % 5 == 0
    return np.where(stripe[..., None], 176, 246).repeat(3, -1).astype(np.uint8)


class Sheet:
    """A white page measured in pixels from its top left, drawn by matplotlib without pyplot."""

    def __init__(self, width: int, height: int) -> None:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        with mpl.rc_context(mpl.rcParamsDefault):  # the user's own style must not show
            self._figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor="white")
            self._canvas = FigureCanvasAgg(self._figure)
            self._axes = self._figure.add_axes((0, 0, 1, 1))
            self._axes.set(xlim=(0, width), ylim=(height, 0))
            self._axes.axis("off")

    def image(self, x: int, y: int, pixels: Pixels) -> None:
        """RGB pixels (height, width, 3), one to one, their top left at x, y."""
        height, width = pixels.shape[:2]
        extent = (x, x + width, y + height, y)
        self._axes.imshow(pixels, extent=extent, aspect="auto", interpolation="nearest")
        self._axes.set(xlim=self._axes.get_xlim(), ylim=self._axes.get_ylim())

    def write(self, x: float, y: float, text: str, **style: Any) -> None:
        """One line, never read as mathematics; what has no glyph is drawn as an empty box."""
        style = {"fontsize": 8, "fontfamily": MONO, "parse_math": False, **style}
        self._axes.text(x, y, drawable(text.replace("\n", "□"), (MONO,)), **style)

    def frame(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """An empty rectangle."""
        from matplotlib.patches import Rectangle

        self._axes.add_patch(Rectangle((x, y), width, height, fill=False, color=colour, lw=1.2))

    def png(self) -> bytes:
        """The page as an image of at most 128 colours."""
        import matplotlib as mpl
        from PIL import Image

        with mpl.rc_context(mpl.rcParamsDefault):
            self._canvas.draw()
        return small_png(Image.fromarray(np.asarray(self._canvas.buffer_rgba())[..., :3]), 128)
