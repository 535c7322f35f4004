"""axe-core opens every instrument: nothing serious or critical, in light and in dark.

The library is axe.min.js beside this file, as npm's axe-core 4.14.1 has it (MPL-2.0, see NOTICE).
"""

from pathlib import Path

import gallery
import pytest

AXE = (Path(__file__).parent / "axe.min.js").read_text(encoding="utf-8")
# One exception, as narrow as it can be: a number that stands beside a button's label is a value,
# hidden from screen readers, which hear the button's own name and the read-out. axe takes it for a
# part of the label. What is left of the text without it must still be in the name.
RUN = """async () => {
  const words = (text) => ` ${text.toLowerCase().replace(/[^\\p{L}\\p{N}]+/gu, " ").trim()} `;
  const label = (element) => {
    const copy = element.cloneNode(true);
    copy.querySelectorAll("[aria-hidden=true]").forEach((value) => value.remove());
    return words(copy.textContent).replace("  ", "");  // nothing is in every name
  };
  const named = ({ target }) => {
    const element = document.querySelector(target[0]);
    return words(element.ariaLabel ?? "").includes(label(element));
  };
  const { violations, passes } = await axe.run(document, { resultTypes: ["violations"] });
  const worst = violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, help, nodes }) => ({ id, help, nodes: id === "label-content-name-mismatch"
      ? nodes.filter((node) => !named(node)) : nodes }))
    .filter(({ nodes }) => nodes.length);
  return { passes: passes.length, found: worst.map(({ id, help, nodes }) =>
    [id, help, nodes.length, nodes[0].html.slice(0, 200), nodes[0].failureSummary]) };
}"""


def complaints(page):
    """What axe finds serious or critical, once the frames under way are painted."""
    page.evaluate("() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))")
    page.evaluate(AXE)
    result = page.evaluate(RUN)
    assert result["passes"] > 5, "axe looked at something"
    return result["found"]


KINDS = dict.fromkeys(name.partition(", ")[0] for name in gallery.EXAMPLES)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing_serious(visit, tmp_path, kind, scheme):
    """Each state of the gallery, and a question before the first."""
    made = {name: make() for name, make in gallery.EXAMPLES.items() if name.startswith(kind)}
    written = gallery.page(made)
    if kind != "Predict":
        asked = next(iter(made.values())).page_part(question="Which?", options=["one", "other"])
        written = gallery.page(made, asked)
    (tmp_path / "page.html").write_text(written, encoding="utf-8")
    page = visit(tmp_path / "page.html", color_scheme=scheme)
    assert complaints(page) == []
    # What a button can open must be as good: answer a question, open the table.
    for label in ("Skip", "Show as table", "Silence each head alone"):
        for button in page.get_by_role("button", name=label, exact=True).all()[::-1]:
            if button.is_enabled():
                button.click()
    assert complaints(page) == []


def test_axe_would_find_what_is_wrong(visit, tmp_path):
    """The proof that the test above can fail."""
    path = tmp_path / "bad.html"
    path.write_text(
        '<!doctype html><html lang="en"><title>bad</title><p>Some words.</p><input>'
        '<p style="color:#bbb">Too pale.</p><button></button>'
        '<button aria-label="Send it">Go</button></html>',
        encoding="utf-8",
    )
    page = visit(path, color_scheme="light")
    page.evaluate(AXE)
    found = {complaint[0] for complaint in page.evaluate(RUN)["found"]}
    assert {"color-contrast", "label", "button-name", "label-content-name-mismatch"} <= found
