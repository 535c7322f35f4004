"""The race without a browser: what must wait, and how much there is to do. Counted, not timed."""

from transformer_lab.instruments import race_times as laps
from transformer_lab.instruments import still
from transformer_lab.instruments.designer_still import round_number
from transformer_lab.look import QUERY

WIDTH, HEIGHT, LEFT, RIGHT = 700, 262, 100, 640
GREY, PALE = "#767676", "#7fb8d8"


def words(T: int, D: int) -> str:
    """Depth and work in a sentence."""
    rnn, side = laps.depth(T)
    work = laps.products(T, D)
    both = work.projections + work.pairs
    return (
        f"{T:,} tokens of width {D}: the RNN's chain is {rnn:,} matrix products long, attention's "
        f"{side}. Multiplications: {round_number(work.rnn)} and {round_number(both)}, "
        f"{100 * work.pairs / both:.0f} % of these for its {T:,}² pairs."
    )


def picture(T: int, D: int, title: str) -> bytes:
    """A PNG, 7 inches wide: chains of products to scale above, multiplications below."""
    sheet = still.Sheet(WIDTH, HEIGHT)
    rnn, side = laps.depth(T)
    work = laps.products(T, D)
    both = work.projections + work.pairs
    sheet.write(20, 24, title or f"What must wait, at T = {T:,} and D = {D}", fontsize=10.5)
    unit = (RIGHT - LEFT) / max(rnn, side)

    def block(x: float, y: float, wide: float, high: float, colour: str) -> None:
        sheet._axes.fill([x, x + wide, x + wide, x], [y, y, y + high, y + high], color=colour, lw=0)

    sheet.write(20, 52, "Depth: matrix products, one after another", fontweight="bold")
    sheet.write(LEFT - 10, 73, "RNN", ha="right")
    marks = min(T, 64)
    for i in range(marks):
        block(LEFT + i * (RIGHT - LEFT) / marks, 64, (RIGHT - LEFT) / marks - 1.2, 11, GREY)
    sheet.write(RIGHT + 6, 73, f"{rnn:,}")
    sheet.write(LEFT - 10, 108, "attention", ha="right")
    for i in range(16):
        block(LEFT, 84 + 3 * i, max(3.0, side * unit), 2, QUERY)
    sheet.write(LEFT + max(3.0, side * unit) + 6, 108, f"{side}: {T:,} positions side by side")
    sheet.write(20, 162, "Work: multiplications", fontweight="bold")
    most = max(work.rnn, both)
    for y, name, parts in (
        (172, "RNN", [(work.rnn, GREY)]),
        (196, "attention", [(work.projections, PALE), (work.pairs, QUERY)]),
    ):
        at = float(LEFT)
        sheet.write(LEFT - 10, y + 11, name, ha="right")
        for amount, colour in parts:
            wide = amount * (RIGHT - LEFT) / most
            block(at, y, wide, 15, colour)
            at += wide
        sheet.write(at + 6, y + 11, round_number(sum(n for n, _ in parts)))
    for x, colour, name in ((LEFT, PALE, "projections, 4·T·D²"), (300, QUERY, "pairs, 2·T²·D")):
        block(x, 226, 10, 10, colour)
        sheet.write(x + 16, 235, name)
    sheet.write(20, 254, "Times are measured where this runs live.", color=still.QUIET)
    return sheet.png()
