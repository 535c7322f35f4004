"""Every exercise accepts what is right, names what is wrong, and outlives anything."""

import builtins
import importlib
import inspect
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mutants import mutants

from transformer_lab import store
from transformer_lab.exercises import (
    CATALOG,
    ExerciseFailed,
    check,
    engine,
    hint,
    progress,
    reveal,
    sandbox,
    stages,
)
from transformer_lab.exercises.exercise import Case, Exercise, Mistake
from transformer_lab.exercises.lesson02 import gap

ANSWERS = [
    importlib.import_module(path.stem)
    for path in sorted(Path(__file__).parent.glob("answers_lesson*.py"))
]
RIGHT = [pair for lesson in ANSWERS for pair in lesson.RIGHT]
WRONG = [triple for lesson in ANSWERS for triple in lesson.WRONG]
MISTAKES = [(id, m) for id, exercise in CATALOG.items() for m in exercise.mistakes]
SAFE = "attention_weights"  # the exercise that hostile answers are given for


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFORMER_LAB_HOME", str(tmp_path))
    monkeypatch.delenv("TRANSFORMER_LAB_STRICT", raising=False)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    return tmp_path


@pytest.fixture
def hurry(monkeypatch):
    monkeypatch.setattr(stages, "SECONDS", 0.3)


def stub_for(exercise):
    scope = {}
    exec(f"def stub{exercise.signature}:\n    raise NotImplementedError", scope)
    return scope["stub"]


def right(query, key, scale):
    return torch.softmax(query @ key.mT * scale, -1)


# Each exercise as a whole


@pytest.mark.parametrize("id", CATALOG)
def test_the_reference_passes_and_works(id):
    verdict = check(id, CATALOG[id].reference)
    assert verdict.passed
    assert verdict.mistake == ""
    assert verdict.working is CATALOG[id].reference


@pytest.mark.parametrize("id", CATALOG)
def test_a_stub_is_not_written_yet_whatever_was_tried_before(id):
    exercise = CATALOG[id]
    verdict = check(id, stub_for(exercise))
    check(id, exercise.mistakes[0].code)
    hint(id)
    again = check(id, stub_for(exercise))
    assert (verdict.passed, verdict.mistake) == (False, "stub")
    assert repr(verdict).startswith(f"○ {exercise.title} · Not written yet\n")
    assert (repr(again), again._repr_html_()) == (repr(verdict), verdict._repr_html_())
    assert verdict.working is exercise.reference


@pytest.mark.parametrize("id", CATALOG)
def test_an_exercise_has_enough_mistakes_hints_and_words(id):
    exercise = CATALOG[id]
    assert exercise.id == id
    assert len(exercise.mistakes) >= 4
    assert len({m.name for m in exercise.mistakes}) == len(exercise.mistakes)
    assert len({m.hint for m in exercise.mistakes}) == len(exercise.mistakes)
    assert len(set(exercise.hints)) == 3
    assert "my_" in exercise.prompt
    for text in (exercise.prompt, *exercise.hints, *(m.hint for m in exercise.mistakes)):
        assert "!" not in text


@pytest.mark.parametrize("id", CATALOG)
def test_a_mistake_takes_what_the_reference_takes(id):
    for mistake in CATALOG[id].mistakes:
        assert tuple(inspect.signature(mistake.code).parameters) == CATALOG[id].parameters


def solution_lines(exercise):
    source = "\n".join(inspect.getsource(f) for f in (exercise.reference, *exercise.source))
    return {line.strip() for line in source.splitlines() if "return " in line or " = " in line}


@pytest.mark.parametrize(("id", "mistake"), MISTAKES, ids=lambda x: getattr(x, "name", x))
def test_a_known_mistake_gets_its_own_hint_and_never_the_solution(id, mistake):
    verdict = check(id, mistake.code)
    assert (verdict.passed, verdict.mistake, verdict.message) == (False, mistake.name, mistake.hint)
    assert verdict.working is CATALOG[id].reference
    assert not [line for line in solution_lines(CATALOG[id]) if line in repr(verdict)]


@pytest.mark.parametrize(("id", "function"), RIGHT, ids=lambda x: getattr(x, "__name__", x))
def test_a_right_answer_in_another_style_passes(id, function):
    verdict = check(id, function)
    assert verdict.passed, verdict
    assert verdict.working is function


def test_each_exercise_has_three_right_answers_in_other_styles():
    counts = {id: sum(other == id for other, _ in RIGHT) for id in CATALOG}
    assert all(count >= 3 for count in counts.values()), counts


@pytest.mark.parametrize(("id", "name", "function"), WRONG, ids=lambda x: getattr(x, "__name__", x))
def test_a_mistake_in_another_hand_is_recognised(id, name, function):
    assert check(id, function).mistake == name


@pytest.mark.parametrize("id", CATALOG)
def test_inputs_are_made_afresh_and_equal_every_time(id):
    for one, other in zip(CATALOG[id].cases(), CATALOG[id].cases(), strict=True):
        assert not engine._changed(
            CATALOG[id], one, other, [engine._shown(x) for x in other.inputs]
        )
        assert all(
            x.data_ptr() != y.data_ptr()
            for x, y in zip(one.inputs, other.inputs, strict=True)
            if isinstance(x, torch.Tensor) and x.numel()
        )


# No wrong answer gets through


def survives(exercise, mutant):
    with sandbox.isolated():
        for trial in engine.trials(exercise, mutant):
            if any(stage(trial) for stage in stages.STAGES):
                return False
    return True


@pytest.mark.parametrize("lesson", ANSWERS, ids=lambda lesson: lesson.__name__)
def test_no_change_to_a_right_answer_survives_its_check(lesson):
    ours = [e for e in CATALOG.values() if lesson.__name__.endswith(f"lesson{e.lesson}")]
    mutated = [(id, f) for id, f in lesson.RIGHT if id not in lesson.MANY_RIGHT]
    mutated += [(exercise.id, exercise.reference) for exercise in ours]
    changes = [(f.__name__, text, CATALOG[id], m) for id, f in mutated for text, m in mutants(f)]
    alive = {(name, text) for name, text, exercise, m in changes if survives(exercise, m)}
    assert len(changes) >= 20 * len(ours)
    assert alive == set(lesson.EQUIVALENT)


# General diagnoses: mistakes that the exercise does not know


@pytest.mark.parametrize(
    ("name", "says", "answer"),
    [
        ("factor", "2 times what", lambda q, k, s: 2 * right(q, k, s)),
        ("factor", "√d times too small", lambda q, k, s: right(q, k, s) / q.shape[-1] ** 0.5),
        ("sign", "negated", lambda q, k, s: -right(q, k, s)),
        ("zero", "is 0", lambda q, k, s: 0 * right(q, k, s)),
        ("shifted", "one place", lambda q, k, s: right(q, k, s).roll(1, -1)),
        ("reversed", "reverse order", lambda q, k, s: right(q, k, s).flip(-1)),
        ("shifted-rows", "one row", lambda q, k, s: right(q, k, s).roll(-1, -2)),
        ("float32", "float64", lambda q, k, s: right(q.float(), k.float(), s).to(q)),
        ("rounding", "small constant", lambda q, k, s: right(q, k, s) + 1e-5),
        ("temperature", "3 times", lambda q, k, s: right(q, k, 3 * s)),
        ("temperature", "√d times too small", lambda q, k, s: right(q, k, s / q.shape[-1] ** 0.5)),
        ("row-sums", "sums to", lambda q, k, s: right(q, k, s) + right(q, k, s) ** 2),
        ("values", "Some numbers differ", lambda q, k, s: right(q.abs(), k, s)),
        ("shape", "last axis is gone", lambda q, k, s: right(q, k, s)[..., 0]),
        ("shape", "axis of length 1", lambda q, k, s: right(q, k, s)[None]),
        ("shape", "axes are swapped", lambda q, k, s: right(q, k, s).mT),
        ("dtype", "is float64; expected float32", lambda q, k, s: right(q, k, s).double()),
        ("finite", "NaN", lambda q, k, s: right(q, k, s) * float("nan")),
        ("finite", "infinity", lambda q, k, s: right(q, k, s) * float("inf")),
        ("untouched", "'query'", lambda q, k, s: right(q.mul_(s), k, 1.0)),
        ("returns", "return` missing", lambda q, k, s: None),
        ("returns", "type str; expected a tensor", lambda q, k, s: "0.5"),
        ("returns", "a tuple of 2", lambda q, k, s: (right(q, k, s), s)),
        ("returns", "special kind", lambda q, k, s: right(q, k, s).to_sparse()),
        ("runs", "NameError: name 'nothing'", lambda q, k, s: nothing),  # noqa: F821
        ("signature", "takes (q, k); expected (query, key, scale)", lambda q, k: q),
        ("signature", "without parentheses behind its name", torch.zeros(2)),
    ],
)
def test_a_common_slip_is_named_without_being_known(name, says, answer):
    verdict = check(SAFE, answer)
    assert (verdict.passed, verdict.mistake) == (False, name)
    assert says in verdict.message


def test_swapped_rows_and_columns_are_named_where_the_table_is_square():
    case = next(case for case in CATALOG[SAFE].cases() if case.name == "T = S = d")
    square = Exercise(**{**vars(CATALOG[SAFE]), "cases": lambda: [case], "mistakes": ()})
    assert engine.examine(square, lambda q, k, s: right(q, k, s).mT).mistake == "transposed"
    assert engine.examine(square, lambda q, k, s: right(k, q, s).mT).mistake == "wrong-axis"


def test_the_evidence_is_the_smallest_input_with_both_rows_aligned():
    verdict = check(SAFE, lambda q, k, s: right(q, k, s).roll(1, -1))
    assert verdict.evidence.splitlines() == [
        "input     one query, two keys (1 of 11 inputs pass)",
        "query     [[1, 2]]   shape (1, 2)",
        "key       [[1, 0], [0, 1]]   shape (2, 2)",
        "scale     0.5",
        "expected  0.378  0.622",
        "got       0.622  0.378",
    ]


def test_what_is_said_holds_for_the_input_that_is_shown():
    verdict = check(SAFE, lambda q, k, s: (q @ k.mT * s).sigmoid())
    assert verdict.message.endswith("one of your rows sums to 0.993.")
    assert verdict.evidence.endswith("got       0.993")


def test_a_row_of_an_answer_of_several_tensors_is_called_by_its_tensor():
    (key_alone,) = [m.code for m in CATALOG["rotary"].mistakes if m.name == "key-only"]
    assert "\nrow       query [" in check("rotary", key_alone).evidence
    order = "order      the rows of mixed, then of keys, then of values"
    assert order in check("cached_step", CATALOG["cached_step"].mistakes[0].code).evidence
    listed = check("to_torch_attention", lambda q, k, v, o: ([q.weight], q.bias, o.weight, o.bias))
    assert listed.message.startswith("Your `in_proj_weight` is a value of type list")


def test_where_a_table_has_several_rows_the_notebook_sees_both_with_the_wrong_cells_framed():
    verdict = check("causal_mask", lambda T, S: torch.ones(T, S, dtype=torch.bool).tril(-1))
    expected, got = verdict.picture.split("</table>")[:2]
    assert re.findall(">([01])<", expected) == list("100110111")
    assert re.findall(">([01])<", got) == list("000100110")
    assert [cell.count("--jp-warn-color1") for cell in (expected, got)] == [0, 3]
    assert "got: 3 of 9 cells wrong (framed)" in verdict._repr_html_()
    assert verdict.picture not in repr(verdict)
    one_row = check(SAFE, lambda q, k, s: right(q, k, s).roll(1, -1))
    assert one_row.picture == check(SAFE, right).picture == ""


def test_no_zero_has_a_minus():
    verdict = check("alibi", lambda n_heads, T, S: 2 * CATALOG["alibi"].reference(n_heads, T, S))
    assert "expected   0.000  -0.062  -0.125" in verdict.evidence


def test_the_evidence_shows_digits_until_the_rows_differ():
    rows = check(SAFE, lambda q, k, s: right(q, k, s) + 1e-5).evidence.splitlines()[-2:]
    expected, got = (line.split()[1] for line in rows)
    assert expected != got
    assert len(expected) > 5


def test_a_wrong_place_far_along_a_row_is_in_sight():
    def softmax_but_the_last(scores, dim=-1):
        result = scores.softmax(dim)
        return result if result.numel() < 30 else result.where(torch.arange(30) < 29, 0.5)

    cases = [CATALOG["stable_softmax"].cases()[0]._replace(inputs=(torch.arange(30.0), -1))]
    wide = Exercise(**{**vars(CATALOG["stable_softmax"]), "cases": lambda: cases, "mistakes": ()})
    verdict = engine.examine(wide, softmax_but_the_last)
    assert re.search(r"\ngot +… .* 0\.500$", verdict.evidence)


def test_an_error_is_shown_with_the_learners_own_line():
    def faulty(query, key, scale):
        scores = query @ key.mT
        return helper(scores)

    def helper(scores):
        return torch.cat([scores, None])

    evidence = check(SAFE, faulty).evidence
    number = inspect.getsourcelines(helper)[1] + 1
    assert f"at     line {number}: `return torch.cat([scores, None])`" in evidence


def test_an_error_that_cannot_be_put_into_words_is_called_by_its_type():
    class Mute(Exception):
        def __str__(self):
            raise ValueError

    def faulty(query, key, scale):
        raise Mute

    assert check(SAFE, faulty).message.endswith("stops with an error. Mute")


def test_a_notimplementederror_of_torch_is_an_error_and_not_a_stub():
    def unsupported(query, key, scale):
        return torch.empty(1, device="meta").item()

    def forgotten(query, key, scale):
        return torch.ops.aten.bincount(torch.empty(3, device="meta", dtype=torch.long)).cpu()

    for answer in (unsupported, forgotten):
        assert check(SAFE, answer).mistake == "runs"


def test_a_colder_answer_is_right_up_to_a_thirtieth():
    warm = CATALOG["hard_lookup"].reference
    assert check("hard_lookup", lambda scores, eps: warm(scores, eps) / 10).passed
    for share in (1, 3, 10, 20, 50, 100):  # of the gap, whatever eps
        assert not check("hard_lookup", lambda scores, eps, n=share: gap(scores) / n).passed
    assert "Far colder" in check("hard_lookup", lambda scores, eps: 1e-9).message
    assert "too warm" in check("hard_lookup", lambda scores, eps: 3 * warm(scores, eps)).message


# Hostile answers


def never(query, key, scale):
    while True:
        pass


def deep(query, key, scale):
    return deep(query, key, scale)


def deeper(query, key, scale):
    sys.setrecursionlimit(10**9)
    return deep(query, key, scale)


def stubborn(query, key, scale):
    for _ in range(3):
        try:
            never(query, key, scale)
        except BaseException:
            continue
    return never(query, key, scale)


def quits(query, key, scale):
    sys.exit()


def babbles(query, key, scale):
    for _ in range(1_000_000):
        print("x")
    return right(query, key, scale)


def says_it_once(query, key, scale):
    print("<b>" + "long " * 100_000)
    return right(query, key, scale)


def greedy(query, key, scale):
    return torch.ones(50 * 2**30 // 4) + right(query, key, scale).sum()


def hoards(query, key, scale):
    kept = []
    while True:
        kept.append(torch.ones(2**22))


def hoards_in_python(query, key, scale):
    return [0] * 2**33


@pytest.mark.parametrize(
    ("answer", "mistake", "says"),
    [
        (greedy, "memory", "more than 2 GB"),
        (hoards_in_python, "memory", "more than 2 GB"),
        (never, "timed", "still running after 0.3 seconds"),
        (stubborn, "timed", "still running after 0.3 seconds"),
        (deep, "runs", "RecursionError"),
        (quits, "runs", "ends the program"),
        (babbles, "timed", "still running"),
    ],
)
def test_a_hostile_answer_gets_a_verdict_in_time_and_the_next_check_works(
    answer, mistake, says, monkeypatch
):
    with monkeypatch.context() as hurry:
        hurry.setattr(stages, "SECONDS", 0.3)
        start = time.monotonic()
        verdict = check(SAFE, answer)
        assert time.monotonic() - start < 3
    assert (verdict.passed, verdict.mistake) == (False, mistake)
    assert says in verdict.message
    assert len(verdict.printed) < sandbox.PRINTED + 100
    assert check(SAFE, right).passed


def test_a_recursion_that_lifts_its_own_limit_ends_all_the_same():
    assert "RecursionError" in check(SAFE, deeper).message
    assert check(SAFE, right).passed


def test_where_there_is_no_alarm_a_watching_thread_stops_the_loop(hurry):
    found = []

    def checks():
        found.append(check(SAFE, stubborn))
        found.append(check(SAFE, right))

    thread = threading.Thread(target=checks)
    thread.start()
    thread.join(10)
    assert [verdict.mistake for verdict in found] == ["timed", ""]


def test_in_a_notebook_exit_ends_the_answer_and_not_the_kernel(monkeypatch):
    asked = []
    shell = SimpleNamespace(ask_exit=lambda: asked.append("the kernel"))
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    verdict = check(SAFE, lambda q, k, s: shell.ask_exit())
    assert "ends the program" in verdict.message
    assert asked == []
    shell.ask_exit()
    assert asked == ["the kernel"]


def test_the_time_that_the_reference_takes_is_not_the_learners(monkeypatch):
    def slow(query, key, scale):
        time.sleep(0.2)
        return right(query, key, scale)

    patient = Exercise(**{**vars(CATALOG[SAFE]), "reference": slow, "gradients": True})
    monkeypatch.setattr(stages, "SECONDS", 1.0)
    assert engine.examine(patient, right).passed


def test_the_first_wrong_answer_and_the_first_gradient_wait_for_no_import():
    code = (
        "import sys; from transformer_lab.exercises import CATALOG, engine\n"
        "for id in ('causal_mask', 'masked_weights'):\n"
        "    exercise = CATALOG[id]\n"
        "    for answer in (exercise.reference, exercise.mistakes[0].code):\n"
        "        engine.examine(exercise, answer)\n"
        "assert 'sympy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="this system has no alarm")
def test_the_alarm_of_somebody_else_still_rings():
    rung = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        assert check(SAFE, right).passed
        time.sleep(0.4)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert rung == [signal.SIGALRM]


@pytest.mark.parametrize("bounded_by", ["the system", "the timer", "the thread"])
def test_a_list_of_tensors_that_grows_is_stopped(bounded_by, monkeypatch):
    monkeypatch.setattr(sandbox, "ROOM", 2**28)
    if bounded_by != "the system":
        monkeypatch.setattr(sandbox, "STATM", Path("nowhere"))
    found = []

    def checks():
        found.extend([check(SAFE, hoards), check(SAFE, right)])

    if bounded_by == "the thread":
        thread = threading.Thread(target=checks)
        thread.start()
        thread.join(20)
    else:
        checks()
    assert [verdict.mistake for verdict in found] == ["memory", ""]


def test_printing_is_kept_with_the_verdict_and_cut(capsys):
    verdict = check(SAFE, says_it_once)
    assert verdict.passed
    assert len(verdict.printed) <= sandbox.PRINTED + 100
    assert verdict.printed.endswith("… and more")
    assert "&lt;b&gt;long long" in verdict._repr_html_()
    assert capsys.readouterr() == ("", "")


def test_what_an_answer_changes_globally_is_put_back():
    def meddles(query, key, scale):
        torch.manual_seed(1)
        random.seed(1)
        np.random.seed(1)
        builtins.len = None
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(threads + 1)
        sys.setrecursionlimit(5000)
        return right(query, key, scale)

    threads, depth = torch.get_num_threads(), sys.getrecursionlimit()
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    expected = torch.rand(2), random.random(), np.random.rand()
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    assert check(SAFE, meddles).passed
    assert torch.equal(torch.rand(2), expected[0])
    assert (random.random(), np.random.rand()) == expected[1:]
    assert len("put back") == 8
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert (torch.get_num_threads(), sys.getrecursionlimit()) == (threads, depth)


def test_what_an_answer_replaces_in_torch_is_put_back_before_the_reference_runs():
    def meddles(query, key, scale):
        torch.softmax = torch.Tensor.softmax = torch.nn.functional.softmax = None
        del torch.matmul
        return query

    verdict = check(SAFE, meddles)
    assert (verdict.passed, verdict.mistake) == (False, "shape")
    assert torch.softmax is not None
    assert torch.Tensor.softmax is torch._C.TensorBase.softmax
    assert check(SAFE, right).passed


def test_a_check_works_in_a_notebook_that_computes_without_gradients_in_float64():
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode():
            assert all(check(id, CATALOG[id].reference).passed for id in CATALOG)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


# Verdicts, hints, progress


def test_a_verdict_is_the_same_every_time_and_its_html_holds_text_only():
    def wrong(query, key, scale):
        raise ValueError("<script>&")

    one, other = check(SAFE, wrong), check(SAFE, wrong)
    assert repr(one) == repr(other)
    assert one._repr_html_() == other._repr_html_()
    assert "&lt;script&gt;&amp;" in one._repr_html_()
    assert "<script>" not in one._repr_html_()


def test_a_verdict_never_speaks_by_colour_alone():
    for answer, words in (
        (right, "✓ Right"),
        (deep, "✗ Not yet right"),
        (stub_for(CATALOG[SAFE]), "○ Not written yet"),
    ):
        assert f"<b>{words}</b>" in check(SAFE, answer)._repr_html_()


@pytest.mark.parametrize(
    ("name", "value"), [("TRANSFORMER_LAB_STRICT", "1"), ("NBGRADER_EXECUTION", "")]
)
def test_in_strict_mode_only_a_right_answer_passes_quietly(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    assert check(SAFE, right).passed
    for answer in (deep, stub_for(CATALOG[SAFE])):
        with pytest.raises(ExerciseFailed, match=SAFE):
            check(SAFE, answer)
    assert issubclass(ExerciseFailed, AssertionError)


def test_an_unknown_exercise_is_answered_with_its_neighbours():
    for function in (lambda id: check(id, right), hint, reveal):
        with pytest.raises(
            ValueError, match=r"'atention' is no exercise; did you mean 'attention'"
        ):
            function("atention")


def test_hints_come_one_by_one_and_the_last_stays():
    first, second, third, again = (hint(SAFE) for _ in range(4))
    hints = CATALOG[SAFE].hints
    assert repr(first) == f"Hint 1 of 3\n{hints[0]}"
    assert repr(second) == f"Hint 2 of 3\n{hints[1]}"
    assert repr(third) == repr(again)
    assert repr(third).endswith('reveal("attention_weights") shows the solution.')
    assert repr(first) == f"Hint 1 of 3\n{hints[0]}"
    assert first._repr_markdown_() == f"**Hint 1 of 3**\n\n{hints[0]}"


@pytest.mark.parametrize("id", CATALOG)
def test_the_solution_is_the_packages_own_code(id):
    shown = reveal(id)
    functions = CATALOG[id].source or (CATALOG[id].reference,)
    assert all(inspect.getsource(f).strip() in repr(shown) for f in functions)
    assert "Where this lives: transformer_lab/" in repr(shown)
    assert shown._repr_markdown_().endswith("\n```")
    assert store.load("progress", id) == {"revealed": True}


def test_progress_tells_what_was_tried_helped_and_solved():
    before = repr(progress())
    assert before.count("○ not tried") == len(CATALOG)
    check("attention", stub_for(CATALOG["attention"]))
    assert repr(progress()) == before
    check("attention", lambda query, key, value, scale: value)
    check(SAFE, right)
    hint(SAFE)
    hint("soft_lookup")
    reveal("soft_lookup")
    states = {title: state for _, title, _, state in progress().rows}
    assert states[CATALOG["attention"].title] == "✗ tried (1 try)"
    assert states[CATALOG[SAFE].title] == "✓ right (1 hint)"
    assert states[CATALOG["soft_lookup"].title] == "○ not tried (1 hint, revealed)"
    assert repr(progress()).endswith(f"1 of {len(CATALOG)} right")
    assert progress().lessons["02"] == list("○○✓✗○○")
    assert f"1 of {len(CATALOG)} right</b></p>" in progress()._repr_html_()


def test_progress_can_be_that_of_one_lesson():
    assert set(progress("02").lessons) == {"02"}
    assert repr(progress("02")).endswith("0 of 6 right")
    with pytest.raises(ValueError, match="lesson = '2'; expected one of 01, 02"):
        progress("2")


def test_a_solved_exercise_stays_solved():
    check(SAFE, right)
    check(SAFE, deep)
    assert "✓ right (2 tries)" in repr(progress())


def test_a_store_that_cannot_be_written_does_not_stop_a_check(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRANSFORMER_LAB_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="The lesson goes on without it"):
        assert check(SAFE, right).passed


def test_an_exercise_shows_its_prompt_minutes_and_difficulty():
    exercise = CATALOG[SAFE]
    assert repr(exercise) == (
        "attention_weights(query, key, scale): Two products: the weights, 4 minutes"
    )
    assert exercise._repr_markdown_().startswith(
        "### Exercise · Two products: the weights (4 minutes, ●●○)\n"
    )


@pytest.mark.parametrize(
    ("field", "value"), [("difficulty", 4), ("hints", ()), ("hints", ("a",) * 4)]
)
def test_an_exercise_that_is_not_whole_is_refused(field, value):
    with pytest.raises(ValueError, match="attention_weights must"):
        Exercise(**{**vars(CATALOG[SAFE]), field: value})


def test_wrong_numbers_are_named_before_a_wrong_dtype_also_where_an_input_is_a_list():
    def given(items, kind):
        return torch.tensor(items, dtype=kind)

    def cases():
        return [Case(str(kind), ([1.0, 2.0], kind)) for kind in (torch.float32, torch.float64)]

    changed = {"reference": given, "cases": cases, "mistakes": ()}
    exercise = Exercise(**{**vars(CATALOG[SAFE]), **changed})
    assert engine.examine(exercise, lambda items, kind: torch.tensor(items)).mistake == "dtype"
    assert engine.examine(exercise, lambda items, kind: -torch.tensor(items)).mistake == "sign"


# Gradients, where an exercise asks for them


def slopes(answer, **fields):
    graded = Exercise(**{**vars(CATALOG[SAFE]), "gradients": True, **fields})
    return engine.examine(graded, answer)


def test_a_right_result_whose_gradient_is_wrong_is_not_right():
    assert slopes(right).passed
    detached = slopes(lambda q, k, s: right(q.detach(), k, s))
    assert (detached.mistake, detached.passed) == ("gradients", False)
    assert "its gradient is not" in detached.message
    assert "no gradient comes back" in slopes(lambda q, k, s: right(q, k, s).detach()).message
    nan = slopes(lambda q, k, s: right(q, k, s) + 0 * (q[..., :1] * 0).sqrt())
    assert "NaN" in nan.message


def test_a_known_mistake_of_the_gradient_alone_gets_its_hint():
    def detached(query, key, scale):
        return right(query, key.detach(), scale)

    known = Mistake("detached", lambda query, key, scale: right(query, key.data, scale), "Keep it.")
    assert slopes(detached, mistakes=(known,)).message == "Keep it."
    other = slopes(lambda q, k, s: right(q.detach(), k, s), mistakes=(known,))
    assert other.mistake == "gradients"
