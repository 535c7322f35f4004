"""No term before its lesson: the words of the glossary against the prose of the lessons.

Prose is what stands in markdown cells, without code. A lesson's first cell announces what is to
come; a sentence that names the lesson of a term ("the cache of lesson 12") points ahead honestly.
"""

import re

import pytest
from nbformat import NotebookNode
from test_notebooks import NOTEBOOKS, executed, prose, prose_cells, read

LESSONS = {path.name[:2]: path for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))}
ENTRY = re.compile(
    r"- \*\*(?P<term>.+?)\*\*(?P<more>(?:, [^·]+)?) · (?P<text>.+[.?]) (?P<where>\S+)"
)
BOLD = re.compile(r"\*\*([^*]+[^*.:])\*\*")
# English words as well as terms: only in bold are they certainly the term.
PLAIN = {
    "cache",
    "head",
    "key",
    "layer",
    "mask",
    "norm",
    "rank",
    "score",
    "shift",
    "slope",
    "source",
}
PLAIN |= {"spread", "state", "target", "value", "voice", "weight", "width"}

Entries = dict[str, tuple[list[str], str, str]]  # term: all its names, its text, its lesson


def glossary(page: NotebookNode) -> Entries:
    """The entries of the page; a line that is not one fails."""
    entries: Entries = {}
    for cell in page.cells:
        for line in re.findall(r"^- .*", cell.source, re.MULTILINE):
            entry = ENTRY.fullmatch(line)
            assert entry, f"no entry: {line}"
            names = [entry["term"], *entry["more"].split(", ")[1:]]
            lesson = entry["where"].strip("[")[:2]
            there = f"[{lesson}]({LESSONS[lesson].name})" if lesson in LESSONS else lesson
            assert entry["where"] == there, f"{entry['term']} has to end in {there}"
            entries[entry["term"]] = (names, entry["text"], lesson)
    return entries


def uses(names: list[str], text: str) -> list[re.Match[str]]:
    """Where a text uses a term by one of its names, or their plurals."""
    words = "|".join(map(re.escape, names))
    return list(re.finditer(rf"(?<![\w–-])(?:{words})(?:e?s)?(?![\w–-])", text, re.IGNORECASE))


def sentences(lesson: NotebookNode) -> list[str]:
    """The prose behind the first cell: no code, no headings, no pointer to the next lesson."""
    found = []
    for _, text in prose_cells(lesson)[1:]:
        text = re.sub(r"`[^`]*`|^#.*|^\*\*Next\b.*", " ", text, flags=re.MULTILINE)
        # The bold head of a list's item is no term.
        text = re.sub(r"^(\d+\.|-) \*\*(.+?)\*\*", r"\2", text, flags=re.MULTILINE)
        found += re.split(r"(?<=[.?:|])\s+(?=[\W\dA-ZÄÖÜ])", text)
    return found


def points_ahead(sentence: str, number: str) -> bool:
    return any(lesson > number for lesson in re.findall(r"[Ll]esson (\d\d)", sentence))


def problems(number: str, lesson: NotebookNode, entries: Entries) -> list[str]:
    """What a lesson does wrong: a term too early, one not introduced, a bold word unexplained."""
    found, text = [], sentences(lesson)
    for term, (names, _, home) in entries.items():
        used = [sentence for sentence in text if uses(names, sentence)]
        bold = [s for s in used if any(uses(names, part) for part in BOLD.findall(s))]
        plain = not PLAIN.isdisjoint(names)
        if home > number and not plain:
            found += [f"{term} ({home}): {s}" for s in used if not points_ahead(s, number)]
        if home == number and (not bold or (bold[0] is not used[0] and not plain)):
            found.append(f"{term} is not in bold where it first stands: {used[:1]}")
    known = [name for names, _, home in entries.values() if home <= number for name in names]
    for sentence in text:
        for part in BOLD.findall(sentence):
            if not any(match[0] == part for name in known for match in uses([name], part)):
                found.append(f"{part!r} is in bold: put it into the glossary, or in italics")
    return found


@pytest.mark.parametrize("number", LESSONS)
def test_a_lesson_introduces_its_terms_and_uses_none_before_its_lesson(number):
    entries = glossary(read(NOTEBOOKS / "glossary.ipynb"))
    assert problems(number, read(LESSONS[number]), entries) == []


@pytest.mark.parametrize("number", LESSONS)
def test_a_lesson_links_to_the_glossary(number):
    assert any("](glossary.ipynb)" in text.source for text in read(LESSONS[number]).cells)


def test_an_entry_is_one_or_two_sentences_and_the_entries_are_in_order():
    entries = glossary(read(NOTEBOOKS / "glossary.ipynb"))
    assert list(entries) == sorted(entries, key=str.lower)
    long = {t: text for t, (_, text, _) in entries.items() if len(re.findall(r"[.?] ", text)) > 1}
    assert long == {}


SAMPLE = "# 04 · A mask\n- a beam is announced here", "A **mask** hides. Masks are tables."


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (SAMPLE, None),
        ((*SAMPLE, "That is the beam of lesson 12."), None),
        ((*SAMPLE, "`beam` is code, and so is `mask`."), None),
        ((*SAMPLE, "1. **No way out.** A list."), None),
        ((*SAMPLE, "That is the beam. Lesson 12 has more."), "beam (12): That is the beam."),
        ((*SAMPLE, "Beams are long."), "beam (12): Beams are long."),
        ((SAMPLE[0], "A mask hides. A **mask** is a table."), None),  # also an English word
        ((SAMPLE[0], "A mask hides."), "mask is not in bold where it first stands"),
        ((SAMPLE[0], "A **mask**. A leak. A **leak**."), "leak is not in bold"),
        ((*SAMPLE, "A **window** is one."), "'window' is in bold: put it into the glossary"),
    ],
)
def test_a_term_that_comes_too_early_or_without_notice_is_seen(texts, problem):
    entries = {"mask": (["mask"], "", "04"), "beam": (["beam"], "", "12")}
    if "leak" in texts[1]:
        entries["leak"] = (["leak"], "", "04")
    found = problems("04", executed("".join(map(prose, texts))), entries)
    assert len(found) == (problem is not None)
    assert problem is None or problem in found[0]
