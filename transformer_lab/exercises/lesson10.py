"""The exercises of lesson 10: tokens made by merging, and counters that a model must beat."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from transformer_lab import bytepairs as package
from transformer_lab.exercises.common import as_number, numbers
from transformer_lab.exercises.exercise import Case, Exercise, Mistake, Unfit, as_tensor

Pair = tuple[str, str]
Words = dict[str, int]
LONG = 400  # characters of an answer that are compared

# --- answers that are words


def as_codes(lines: Iterable[str]) -> Tensor:
    """Some lines as the numbers of their characters, LONG of them."""
    codes = [float(ord(sign)) for line in lines for sign in line + "\n"]
    return torch.tensor([*codes, *[0.0] * LONG][:LONG], dtype=torch.float64)


def as_pairs(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """A list of pairs of pieces."""
    if not isinstance(output, (list, tuple)) or not all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 and _all_text(pair) for pair in output
    ):
        raise Unfit("Return a list of pairs of pieces, such as [('l', 'o'), ('lo', 'w')].")
    return as_codes(f"{left} + {right}" for left, right in output)


def as_pieces(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """A list of pieces."""
    if not isinstance(output, (list, tuple)) or not _all_text(output):
        raise Unfit("Return a list of pieces, such as ['low', 'er'].")
    return as_codes(output)


def _all_text(parts: Iterable[Any]) -> bool:
    return all(isinstance(part, str) for part in parts)


def first_difference(
    what: str, reference: Callable[..., Any], observe: Callable[[tuple[Any, ...], Any], Tensor]
) -> Callable[[tuple[Any, ...], Tensor], str]:
    """A judge that says which line of an answer is the first to differ."""

    def judge(inputs: tuple[Any, ...], observed: Tensor) -> str:
        pair = observed, observe(inputs, reference(*inputs))
        got, expected = ("".join(chr(int(c)) for c in x if c).splitlines() for x in pair)
        for number, (one, other) in enumerate(zip(got, expected, strict=False), 1):
            if one != other:
                return f"Your {what} number {number} is {one}; expected {other}."
        numbers = f"You return {len(got)} {what}s; expected {len(expected)}."
        return "" if len(got) == len(expected) else numbers

    return judge


# --- train merges


def train_merges(words: Words, n: int) -> list[Pair]:
    """The first n merges that these words teach, each as often as its number says."""
    texts = [word for word, times in words.items() for _ in range(times)]
    learned = package.BytePairs.train(texts, 256 + n).merges
    return [(left.decode(), right.decode()) for left, right in learned]


def merge_cases() -> list[Case]:
    paper = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
    return [
        Case("two words, one merge", ({"low": 2, "lot": 1}, 1)),
        Case("a rare word and a frequent one", ({"abe": 1, "abo": 1, "xy": 5}, 2)),
        Case("a tie", ({"ba": 1, "ab": 1}, 2)),
        Case("a tie of an old piece and a new one", ({"abd": 2, "ce": 2}, 3)),
        Case("a tie of two new ones", ({"yz": 3, "ab": 2, "yzk": 2, "abk": 2}, 4)),
        Case("a tie for the right piece", ({"db": 1, "cb": 1, "da": 1, "ca": 1}, 4)),
        Case("right pieces, old and new", ({"yz": 3, "ab": 2, "kyz": 2, "kab": 2, "km": 2}, 5)),
        Case("one sign three times", ({"zzz": 1, "ab": 1}, 3)),
        Case("often in one word", ({"xyxyxyxy": 1, "ab": 3}, 3)),
        Case("twice in a word", ({"banana": 1, "bananana": 1}, 4)),
        Case("one piece ends as another begins", ({"xa": 5, "xab": 1, "ab": 3}, 3)),
        Case("one piece begins as another ends", ({"bc": 5, "abc": 1, "ab": 3}, 3)),
        Case("nothing left to merge", ({"ab": 2, "c": 1}, 5)),
        Case("no merge", ({"abc": 1}, 0)),
        Case("four words, ten merges", (paper, 10)),
    ]


def join(pieces: list[str], pair: Pair) -> list[str]:
    """pieces with each such pair joined, from the left."""
    joined, waiting = [], pieces
    while waiting:
        size = 2 if tuple(waiting[:2]) == pair else 1
        joined.append("".join(waiting[:size]))
        waiting = waiting[size:]
    return joined


def join_from_right(pieces: list[str], pair: Pair) -> list[str]:
    mirrored = join([piece[::-1] for piece in pieces[::-1]], (pair[1][::-1], pair[0][::-1]))
    return [piece[::-1] for piece in mirrored[::-1]]


def join_once(pieces: list[str], pair: Pair) -> list[str]:
    if pair not in pairwise(pieces):
        return pieces
    place = list(pairwise(pieces)).index(pair)
    return [*pieces[:place], "".join(pair), *pieces[place + 2 :]]


def join_text(pieces: list[str], pair: Pair) -> list[str]:
    return " ".join(pieces).replace(" ".join(pair), "".join(pair)).split(" ")


def apart(pieces: list[str]) -> list[Pair]:
    """The pairs of a word, where a run of three equal pieces holds one."""
    found: list[Pair] = []
    for place, pair in enumerate(pairwise(pieces)):
        overlaps = place > 0 and found[-1:] == [pair] and pieces[place - 1] == pair[0]
        found.append(("", "") if overlaps else pair)
    return [pair for pair in found if pair != ("", "")]


def by_age(pair: Pair, made: list[str]) -> tuple[Any, ...]:
    """Letters first, alphabetically, then pieces in the order in which they were made."""
    return tuple((0, p) if p not in made else (1 + made.index(p), "") for p in pair)


def youngest(ages: tuple[Any, ...]) -> tuple[Any, ...]:
    """Ages in the opposite order."""
    return tuple((-age, [-ord(sign) for sign in letter]) for age, letter in ages)


def learn(
    words: Words,
    n: int,
    tie: Callable[[Pair, list[str]], Any] = by_age,
    joined: Callable[[list[str], Pair], list[str]] = join,
    pairs: Callable[[list[str]], Iterable[Pair]] = pairwise,
    sign: int = 1,
    ends: bool = True,
) -> list[Pair]:
    """train_merges, with one thing or another done in another way."""
    spelled, merges = [(list(word), times) for word, times in words.items()], list[Pair]()
    while len(merges) < n:
        counts = Counter[Pair]()
        for pieces, times in spelled:
            for pair in pairs(pieces):
                counts[pair] += times
        if ends and not counts:
            break
        made = ["".join(pair) for pair in merges]
        top = max(counts[pair] * sign for pair in counts)
        best = min((p for p in counts if counts[p] * sign == top), key=lambda p: tie(p, made))
        merges.append(best)
        spelled = [(joined(pieces, best), times) for pieces, times in spelled]
    return merges


def top_pairs(words: Words, n: int) -> list[Pair]:
    """The most frequent pairs of letters, counted once."""
    counts = Counter[Pair]()
    for word, times in words.items():
        for pair in pairwise(word):
            counts[pair] += times
    return sorted(counts, key=lambda pair: (-counts[pair], pair))[:n]


MERGES = Exercise(
    id="train_merges",
    lesson="10",
    title="Learn to merge",
    minutes=12,
    difficulty=3,
    prompt="""
Write `my_merges(words, n)`. `words` says how often each word occurs: `{"low": 5, "lot": 2}`. Start
with lists of letters. Then `n` times: count the pairs of neighbours inside words (`"zzz"` holds
z, z twice) and join the most frequent pair everywhere, from the left. Return the pairs in order,
`[("l", "o"), …]`; fewer when none is left. Of equally frequent pairs take the one with the older
left piece, then the older right piece. Letters are oldest, in alphabetical order; new pieces follow
as they are made.""",
    reference=train_merges,
    source=(package._learn, package._merge),
    cases=merge_cases,
    observe=as_pairs,
    judge=first_difference("merge", train_merges, as_pairs),
    mistakes=(
        Mistake(
            "numbers-ignored",
            lambda words, n: learn(dict.fromkeys(words, 1), n),
            "Every word counts once here. A word that occurs 5 times brings each of its pairs 5 "
            "times.",
        ),
        Mistake(
            "counted-once",
            lambda words, n: top_pairs(words, n),
            "These are the most frequent pairs of letters. After each merge there are new "
            "neighbours: join the pair in the words, then count again.",
        ),
        Mistake(
            "rarest",
            lambda words, n: learn(words, n, sign=-1),
            "You join the rarest pair. The most frequent one saves the most.",
        ),
        Mistake(
            "tie-first-seen",
            lambda words, n: learn(words, n, tie=lambda pair, made: 0),
            "Of equally frequent pairs you take the one that you met first. The older pieces "
            "decide, wherever they stand.",
        ),
        Mistake(
            "tie-alphabet",
            lambda words, n: learn(words, n, tie=lambda pair, made: pair),
            "You break ties by the alphabet alone. That is right among letters; a piece that was "
            "made comes after all of them, and made pieces go by age.",
        ),
        Mistake(
            "tie-youngest",
            lambda words, n: learn(words, n, tie=lambda pair, made: youngest(by_age(pair, made))),
            "Of equally frequent pairs you take the youngest. The oldest goes first.",
        ),
        Mistake(
            "tie-right-first",
            lambda words, n: learn(words, n, tie=lambda pair, made: by_age(pair, made)[::-1]),
            "In a tie you look at the right piece first. The left one decides; the right one only "
            "where the left ones are the same.",
        ),
        Mistake(
            "across-words",
            lambda words, n: learn({"".join(w * times for w, times in words.items()): 1}, n),
            "You count pairs across the end of a word. Words are apart: no merge joins two.",
        ),
        Mistake(
            "overlap-skipped",
            lambda words, n: learn(words, n, pairs=apart),
            'You count "zzz" as one pair. Two places where z is followed by z count as two, though '
            "only one can be joined.",
        ),
        Mistake(
            "once-a-word",
            lambda words, n: learn(words, n, pairs=lambda pieces: set(pairwise(pieces))),
            "You count a pair once in each word. Where it stands twice in a word, it counts twice.",
        ),
        Mistake(
            "from-the-right",
            lambda words, n: learn(words, n, joined=join_from_right),
            'In "zzz" you join the last two. Go through a word from the left.',
        ),
        Mistake(
            "first-place-only",
            lambda words, n: learn(words, n, joined=join_once),
            "You join a pair at its first place in a word and leave the others. All of them are "
            "joined.",
        ),
        Mistake(
            "replaced-in-text",
            lambda words, n: learn(words, n, joined=join_text),
            "A replacement in a text with spaces finds a pair in the middle of longer pieces: "
            '"a b" also stands in "xa b". Compare whole pieces.',
        ),
        Mistake(
            "no-end",
            lambda words, n: learn(words, n, ends=False),
            "When every word is one piece there is no pair left. Stop then, with fewer merges.",
        ),
    ),
    hints=(
        "Keep every word as a list of pieces. Three steps, n times: count, choose, join.",
        "Keep a list of pieces by age: the letters, sorted, then each new piece at its end. The "
        "place in that list is a piece's age.",
        "Choose the pair with the smallest (-count, age of left, age of right). To join, build a "
        "new list from the left: where both pieces fit, add them as one and step over two.",
    ),
)


# --- encode a word


def encode(word: str, merges: list[Pair]) -> list[str]:
    """The pieces of a word, by merges in the order in which they were learned."""
    pairs = package.BytePairs((left.encode(), right.encode()) for left, right in merges)
    return [pairs.tokens[number].decode() for number in pairs.encode(word)]


def encode_cases() -> list[Case]:
    paper = [("e", "s"), ("es", "t"), ("l", "o"), ("lo", "w"), ("n", "e"), ("ne", "w")]
    late = [("b", "c"), ("a", "b"), ("ab", "c")]
    return [
        Case("one merge", ("low", [("l", "o")])),
        Case("two merges", ("low", [("l", "o"), ("lo", "w")])),
        Case("no merge", ("low", [])),
        Case("none that fits", ("abcabc", [("b", "a"), ("c", "b")])),
        Case("a long piece learned early", ("abcd", [("a", "b"), ("ab", "c"), ("c", "d")])),
        Case("two that overlap", ("abc", [("b", "c"), ("a", "b")])),
        Case("a long piece on another way", ("abc", late)),
        Case("the same text from other pieces", ("abc", [("a", "b"), ("b", "c"), ("a", "bc")])),
        Case("twice in a word", ("hahah", [("h", "a"), ("ha", "ha")])),
        Case("four times", ("hahahaha", [("h", "a"), ("ha", "x")])),
        Case("one sign five times", ("aaaaa", [("a", "a")])),
        Case("one piece ends as another begins", ("xab", [("x", "a"), ("a", "b")])),
        Case("four chances", ("abcd", [("c", "d"), ("a", "b"), ("b", "c"), ("bc", "d")])),
        Case("a new word", ("lowest", paper)),
        Case("two of them", ("newlow", paper)),
        Case("one letter", ("e", paper)),
    ]


def merged(
    word: str,
    merges: list[Pair],
    pick: Callable[[list[Pair], list[Pair]], Pair],
    joined: Callable[[list[str], Pair], list[str]] = join,
) -> list[str]:
    """Join the pair that `pick` picks of those that fit, until none does."""
    pieces = list(word)
    while fits := [pair for pair in pairwise(pieces) if pair in merges]:
        pieces = joined(pieces, pick(fits, merges))
    return pieces


def in_order(
    word: str, merges: list[Pair], joined: Callable[[list[str], Pair], list[str]] = join
) -> list[str]:
    """Each merge once, in order."""
    pieces = list(word)
    for pair in merges:
        pieces = joined(pieces, pair)
    return pieces


def longest(word: str, merges: list[Pair]) -> list[str]:
    """The longest known piece, again and again, from the left."""
    known, pieces = {"".join(pair) for pair in merges}, []
    while word:
        size = max([1, *(len(piece) for piece in known if word.startswith(piece))])
        pieces.append(word[:size])
        word = word[size:]
    return pieces


def same_text(word: str, merges: list[Pair]) -> list[str]:
    """Join neighbours whose joined text is known, whatever it was made of."""
    ranks = {"".join(pair): rank for rank, pair in reversed(list(enumerate(merges)))}
    pieces = list(word)
    while fits := [pair for pair in pairwise(pieces) if "".join(pair) in ranks]:
        pieces = join(pieces, min(fits, key=lambda pair: ranks["".join(pair)]))
    return pieces


def tail_lost(pieces: list[str], pair: Pair) -> list[str]:
    """join, with a loop that ends one too early: a last piece that joins nothing is gone."""
    whole = join(pieces, pair)
    return whole if tuple(pieces[-2:]) == pair and whole[-1] == "".join(pair) else whole[:-1]


ENCODE = Exercise(
    id="encode",
    lesson="10",
    title="Cut a word as it was learned",
    minutes=8,
    difficulty=2,
    prompt="""
Write `my_encode(word, merges)`, which cuts a word that training may never have seen. `merges` is
the list of pairs in the order in which they were learned: `[("l", "o"), ("lo", "w")]`. Start with
the word's letters. Of all learned pairs whose pieces stand side by side now, join the one that was
learned first, everywhere in the word and from the left; again, until there is none. Return the list
of pieces: `["low", "e", "r"]`.""",
    reference=encode,
    source=(package.BytePairs._encode_word, package._merge),
    cases=encode_cases,
    observe=as_pieces,
    judge=first_difference("piece", encode, as_pieces),
    mistakes=(
        Mistake(
            "longest-first",
            lambda word, merges: longest(word, merges),
            "You take the longest known piece from the left. Training did not cut its words like "
            "that: merges happen in the order in which they were learned.",
        ),
        Mistake(
            "leftmost-first",
            lambda word, merges: merged(word, merges, lambda fits, merges: fits[0], join_once),
            "You join the first pair from the left that is known. The pair that was learned first "
            "goes first, wherever it stands.",
        ),
        Mistake(
            "last-learned-first",
            lambda word, merges: merged(word, merges, lambda fits, m: max(fits, key=m.index)),
            "You join the pair that was learned last. The oldest goes first.",
        ),
        Mistake(
            "backwards",
            lambda word, merges: in_order(word, merges[::-1]),
            "You go through the merges from the last to the first, so the pieces that a long one "
            "is made of do not stand there yet.",
        ),
        Mistake(
            "same-text",
            lambda word, merges: same_text(word, merges),
            "You look only at the joined text. ab + c and a + bc spell the same, but only the pair "
            "that was learned may be joined.",
        ),
        Mistake(
            "first-place-only",
            lambda word, merges: in_order(word, merges, join_once),
            "You join a pair at one place and go on to the next merge. It may stand there twice.",
        ),
        Mistake(
            "one-merge",
            lambda word, merges: next(
                (join(list(word), pair) for pair in merges if pair in pairwise(word)), list(word)
            ),
            "You stop after one merge. Joining makes new neighbours: look again.",
        ),
        Mistake(
            "letters-only",
            lambda word, merges: in_order(word, [p for p in merges if len(p[0] + p[1]) == 2]),
            "You join pairs of letters only. A joined piece can be joined again.",
        ),
        Mistake(
            "replaced-in-text",
            lambda word, merges: in_order(word, merges, join_text),
            "A replacement in a text with spaces finds a pair in the middle of longer pieces: "
            '"a b" also stands in "xa b". Compare whole pieces.',
        ),
        Mistake(
            "from-the-right",
            lambda word, merges: in_order(word, merges, join_from_right),
            "In a run of equal letters you join from the right. Go from the left.",
        ),
        Mistake(
            "tail-lost",
            lambda word, merges: in_order(word, merges, tail_lost),
            "The end of the word is lost. When your loop looks at pairs, a last piece without a "
            "partner has to be kept as well.",
        ),
    ),
    hints=(
        "A rank is a pair's place in merges. Among the pairs that stand in the word now, which "
        "has the lowest?",
        "It comes to the same to go through merges once, from first to last, and to join each "
        "pair wherever it stands. Why is no second round needed?",
        "To join, build a new list from the left: where two pieces are the pair, add them as one "
        "and step over both; else add one piece and step over one.",
    ),
)


# --- an n-gram that sums to 1


def ngram(text: list[int], context: list[int], V: int) -> Tensor:
    """p(next token | context), interpolated as Witten and Bell (1991) do: (V,)."""
    shorter = ngram(text, context[1:], V) if context else torch.full((V,), 1 / V)
    counts = followers(text, context, V)
    kinds = (counts > 0).sum()
    return (counts + kinds * shorter) / (counts.sum() + kinds) if kinds > 0 else shorter


def followers(text: list[int], context: list[int], V: int) -> Tensor:
    """How often each token follows the context: (V,)."""
    counts, size = torch.zeros(V), len(context)
    for start in range(len(text) - size):
        if text[start : start + size] == context:
            counts[text[start + size]] += 1
    return counts


def as_row(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """A tensor, or a list of numbers, as float32."""
    if isinstance(output, (list, tuple)) and all(
        isinstance(x, (int, float, Tensor)) for x in output
    ):
        output = torch.tensor([float(x) for x in output])
    elif output is not None and not isinstance(output, Tensor):
        raise Unfit("Return a list of numbers (True counts as 1), or a tensor of them.")
    return as_tensor(inputs, output).float()


def ngram_cases() -> list[Case]:
    text = numbers(1, 60).mul(1.3).round().clamp(-2, 2).add(2).long().tolist()
    return [
        Case("after 0 came 1 and 2", ([0, 1, 0, 2], [0], 3)),
        Case("no context", ([0, 0, 0, 1], [], 3)),
        Case("a context that never came", ([0, 1, 0, 1], [2], 3)),
        Case("a context at the very end", ([0, 1, 0, 2], [2], 3)),
        Case("once more at the end", ([0, 1, 0, 1, 1, 0], [0], 2)),
        Case("two tokens of context", ([0, 1, 2, 0, 1, 1, 0, 1, 2, 2, 1, 0], [0, 1], 4)),
        Case("a context that overlaps itself", ([1, 1, 1, 1, 2, 0], [1, 1], 3)),
        Case("only its end is known", ([3, 1, 2, 1, 2, 1, 0], [0, 2, 1], 5)),
        Case("an empty text", ([], [1], 4)),
        Case("60 tokens, one of context", (text, [2], 6)),
        Case("60 tokens, two of context", (text, [3, 2], 6)),
        Case("60 tokens, three of context", (text, [2, 3, 2], 6)),
    ]


def blended(
    text: list[int],
    context: list[int],
    V: int,
    count: Callable[[list[int], list[int], int], Tensor] = followers,
    kinds: Callable[[Tensor], Tensor | int] = lambda counts: (counts > 0).sum(),
    shorten: Callable[[list[int]], list[int]] = lambda context: context[1:],
    base: Callable[[int], Tensor] = lambda V: torch.full((V,), 1 / V),
) -> Tensor:
    """ngram, with one thing or another done in another way."""
    again = (count, kinds, shorten, base)
    shorter = blended(text, shorten(context), V, *again) if context else base(V)
    counts = count(text, context, V)
    k = kinds(counts)
    total = counts.sum() + k
    return (counts + k * shorter) / total if total > 0 else shorter


def with_the_end(text: list[int], context: list[int], V: int) -> Tensor:
    """ngram, where n counts the context at the end of the text as well."""
    shorter = with_the_end(text, context[1:], V) if context else torch.full((V,), 1 / V)
    counts, size = followers(text, context, V), len(context)
    n = sum(text[i : i + size] == context for i in range(len(text) - size + (size > 0)))
    kinds = (counts > 0).sum()
    return (counts + kinds * shorter) / (n + kinds) if n + kinds > 0 else shorter


def backed_off(text: list[int], context: list[int], V: int) -> Tensor:
    """Counts alone where the token was seen; else the shorter context's share."""
    shorter = backed_off(text, context[1:], V) if context else torch.full((V,), 1 / V)
    counts = followers(text, context, V)
    return torch.where(counts > 0, counts / counts.sum().clamp(min=1), shorter)


NGRAM = Exercise(
    id="ngram",
    lesson="10",
    title="A counter that sums to 1",
    minutes=10,
    difficulty=3,
    prompt="""
Write `my_ngram(text, context, V)`: probabilities `(V,)` of the next token, counted in `text`, ids
below `V`. Find all places where the list `context` stands with a token behind it: `n` places, `k`
different tokens. By Witten and Bell,
`p(w | context) = (count of w + k · p(w | shorter)) / (n + k)`; `shorter` is the context without its
first token. Where `n` is 0, take the shorter context's probabilities. The empty context stands
before every token, and has `1 / V` in place of a shorter one.""",
    reference=ngram,
    source=(ngram, followers),
    cases=ngram_cases,
    observe=as_row,
    mistakes=(
        Mistake(
            "counts-alone",
            lambda text, context, V: (
                followers(text, context, V) / followers(text, context, V).sum().clamp(min=1)
            ),
            "What was not counted gets 0 here, and one such token makes the loss infinite. Where "
            "does the shorter context come in?",
        ),
        Mistake(
            "counts-divided-by-zero",
            lambda text, context, V: (
                followers(text, context, V) / followers(text, context, V).sum()
            ),
            "Where the context never came you divide 0 by 0, and what was not counted gets 0. "
            "Where does the shorter context come in?",
        ),
        Mistake(
            "add-one",
            lambda text, context, V: (
                (followers(text, context, V) + 1) / (followers(text, context, V).sum() + V)
            ),
            "You add one to each count. It sums to 1, but every token that was not seen is alike. "
            "Here the shorter context says how likely each is.",
        ),
        Mistake(
            "backed-off",
            lambda text, context, V: backed_off(text, context, V),
            "You ask the shorter context only about tokens with a count of 0. Then all together "
            "come to more than 1. Mix both for every token.",
        ),
        Mistake(
            "last-token-dropped",
            lambda text, context, V: blended(text, context, V, shorten=lambda c: c[:-1]),
            "Your shorter context lacks its last token. The last one is next to the word that is "
            "guessed; drop the first.",
        ),
        Mistake(
            "straight-to-none",
            lambda text, context, V: blended(text, context, V, shorten=lambda c: []),
            "You go from the whole context to none at once. Take off one token at a time.",
        ),
        Mistake(
            "no-uniform",
            lambda text, context, V: blended(text, context, V, base=lambda V: torch.zeros(V)),
            "A token that never came gets 0, and the rest does not sum to 1. What does the empty "
            "context mix in?",
        ),
        Mistake(
            "k-is-n",
            lambda text, context, V: blended(text, context, V, kinds=lambda c: c.sum()),
            "Your k is the number of places, so both parts always weigh the same. k counts "
            "different tokens.",
        ),
        Mistake(
            "k-is-V",
            lambda text, context, V: blended(
                text, context, V, kinds=lambda c: V if c.sum() > 0 else 0
            ),
            "Your k is V. It counts the different tokens that came behind this context.",
        ),
        Mistake(
            "k-is-one",
            lambda text, context, V: blended(
                text, context, V, kinds=lambda c: 1 if c.sum() > 0 else 0
            ),
            "Your k is always 1. It counts the different tokens that came behind this context.",
        ),
        Mistake(
            "end-counted",
            lambda text, context, V: with_the_end(text, context, V),
            "Your n counts the context at the very end of the text as well. No token comes behind "
            "it, so the sum stays below 1.",
        ),
        Mistake(
            "last-place-missed",
            lambda text, context, V: blended(
                text, context, V, count=lambda t, c, V: followers(t[:-1], c, V)
            ),
            "The last token of the text is never counted. Does your loop end one too early?",
        ),
    ),
    hints=(
        "First a function that counts what came behind a context: a row of V counts. n is its "
        "sum, k the number of counts above 0.",
        "my_ngram may call itself with a shorter context. When does it stop?",
        "The shorter row is 1 / V everywhere for an empty context, else what my_ngram gives for "
        "the context without its first token. Where n is 0 it is the answer. Else weigh it with k.",
    ),
)


# --- the leak between train and validation


def find_the_overlap(train: list[int], validation: list[int], n: int) -> list[bool]:
    """For each window of n tokens of validation: does it stand in train as well?"""
    known = windows(train, n)
    return [window in known for window in windows(validation, n)]


def windows(tokens: list[int], n: int, step: int = 1) -> list[tuple[int, ...]]:
    """All runs of n neighbouring tokens, as tuples."""
    return [tuple(tokens[i : i + n]) for i in range(0, len(tokens) - n + 1, step)]


def overlap_cases() -> list[Case]:
    text = numbers(2, 80).round().clamp(-1, 1).add(1).long().tolist()
    return [
        Case("two of three", ([1, 2, 3], [1, 2, 3, 1], 2)),
        Case("single tokens", ([1, 2], [2, 3, 1, 4], 1)),
        Case("no leak", ([1, 2, 3, 4], [5, 6, 5], 2)),
        Case("the same tokens, apart", ([1, 5, 2, 6, 3], [1, 2, 3], 2)),
        Case("the same tokens in another order", ([3, 2, 1, 4], [1, 2, 3], 3)),
        Case("at another place", ([9, 9, 9, 4, 5, 6, 7], [4, 5, 6, 7], 2)),
        Case("from an odd place", ([8, 4, 5, 6, 7], [4, 5, 6, 7, 4, 5], 3)),
        Case("at the end of both", ([7, 8, 1, 2, 3, 4], [4, 1, 2, 3, 4], 3)),
        Case("ids of two digits", ([1, 12, 2], [1, 1, 12, 2, 11, 2], 2)),
        Case("train too short", ([1, 2], [1, 2, 3], 3)),
        Case("validation too short", ([1, 2, 3, 4], [1, 2], 3)),
        Case("80 tokens, windows of 5", (text[:60], text[50:], 5)),
    ]


def contains(train: list[int], validation: list[int], n: int, sign: str) -> list[bool]:
    """Search a window as text."""
    text = sign.join(map(str, train))
    return [sign.join(map(str, window)) in text for window in windows(validation, n)]


LEAK = Exercise(
    id="find_the_overlap",
    lesson="10",
    title="Find the leak",
    minutes=5,
    difficulty=2,
    prompt="""
A validation loss can be too good because the model has read the validation text. Write
`my_overlap(train, validation, n)` for two lists of token ids. A window is `n` neighbouring tokens;
one begins at every place of `validation` where it fits. Return a list with one entry for each
window, from the first place to the last: `True` where the same `n` tokens, neighbours in the same
order, stand anywhere in `train`, else `False`. A text shorter than `n` has no windows.""",
    reference=find_the_overlap,
    source=(find_the_overlap, windows),
    cases=overlap_cases,
    observe=as_row,
    mistakes=(
        Mistake(
            "tokens-known",
            lambda train, validation, n: [
                set(window) <= set(train) for window in windows(validation, n)
            ],
            "You ask whether each token occurs in train. Nearly all do; a leak is n of them in a "
            "row.",
        ),
        Mistake(
            "order-ignored",
            lambda train, validation, n: [
                sorted(window) in [sorted(other) for other in windows(train, n)]
                for window in windows(validation, n)
            ],
            "You compare the tokens of a window in any order. Order counts.",
        ),
        Mistake(
            "same-place",
            lambda train, validation, n: [
                window == tuple(train[i : i + n]) for i, window in enumerate(windows(validation, n))
            ],
            "You compare windows at the same place. A leaked window can stand anywhere in train.",
        ),
        Mistake(
            "train-in-steps-of-n",
            lambda train, validation, n: [
                window in windows(train, n, n) for window in windows(validation, n)
            ],
            "You cut train into windows side by side. A window may begin at every place.",
        ),
        Mistake(
            "validation-in-steps-of-n",
            lambda train, validation, n: [
                window in windows(train, n) for window in windows(validation, n, n)
            ],
            "You cut validation into windows side by side. One begins at every place.",
        ),
        Mistake(
            "last-window-missed",
            lambda train, validation, n: find_the_overlap(train, validation[:-1], n),
            "Your last window of validation is missing. How many windows of 2 are in 3 tokens?",
        ),
        Mistake(
            "end-of-train-missed",
            lambda train, validation, n: find_the_overlap(train[:-1], validation, n),
            "The last window of train is never compared. How many windows of 2 are in 3 tokens?",
        ),
        Mistake(
            "joined-digits",
            lambda train, validation, n: contains(train, validation, n, ""),
            "You join the ids to one text without a sign between them, so 1, 12 looks like 11, 2.",
        ),
        Mistake(
            "joined-with-spaces",
            lambda train, validation, n: contains(train, validation, n, " "),
            "You search in a text of ids. There 1 2 is found in 11 2 and in 1 23. Compare tokens.",
        ),
        Mistake(
            "the-wrong-way-round",
            lambda train, validation, n: find_the_overlap(validation, train, n),
            "You go through the windows of train. The question is which of validation's are known.",
        ),
        Mistake(
            "places",
            lambda train, validation, n: [
                i for i, w in enumerate(windows(validation, n)) if w in windows(train, n)
            ],
            "You return the places where a known window begins. Return True or False for each "
            "window, known or not.",
        ),
        Mistake(
            "turned-over",
            lambda train, validation, n: [
                not known for known in find_the_overlap(train, validation, n)
            ],
            "True and False are swapped: True means that the window leaked.",
        ),
    ),
    hints=(
        "A list of m tokens has m - n + 1 windows of n, and one begins at place 0.",
        "First collect all windows of train. Then ask for each window of validation whether it is "
        "among them.",
        "A slice such as tokens[i:i + n] is a window. As a tuple it can go into a set, where "
        "finding it is fast.",
    ),
)


# --- bits per byte


def bits_per_byte(losses: Tensor, text: str) -> Tensor:
    """Bits for each byte of a text, from the loss in nats of each of its tokens."""
    return losses.sum() / math.log(2) / len(text.encode())


def bits_cases() -> list[Case]:
    def case(name: str, losses: list[float], text: str) -> Case:
        return Case(name, (torch.tensor(losses), text), 1e-5)

    wide = torch.tensor([0.3, 4.1, 2.2], dtype=torch.float64)
    return [
        case("8 bits for four letters", [math.log(2) * 2, math.log(2) * 6], "abcd"),
        case("a token for each letter", [1.0, 2.0, 0.5], "cat"),
        case("one token, two words", [3.0], "in the"),
        case("letters of two bytes", [2.5, 1.5, 4.0], "naïve café"),
        case("letters of three bytes", [5.0, 3.5], "言語を"),
        case("signs of four bytes", [6.0, 1.0, 0.2, 3.0], "🙂 ok 🙃"),
        case("more tokens than bytes", [0.5, 0.25, 1.5], "é"),
        Case("float64", (wide, "line one\nline two"), 1e-5),
    ]


BITS = Exercise(
    id="bits_per_byte",
    lesson="10",
    title="A loss that knows no tokenizer",
    minutes=4,
    difficulty=1,
    prompt="""
Two models with different tokenizers cannot be compared by their loss for each token: longer tokens
are harder to guess, and there are fewer of them. Write `my_bits(losses, text)`: how many bits the
model needs for each byte of the text. `losses` `(T,)` holds the cross-entropy of each of the text's
`T` tokens in nats (with the natural logarithm); one bit is `ln 2` nats. Bytes are those of the text
in UTF-8. Return one number.""",
    reference=bits_per_byte,
    cases=bits_cases,
    observe=as_number,
    atol=1e-6,
    mistakes=(
        Mistake(
            "nats",
            lambda losses, text: float(losses.sum()) / len(text.encode()),
            "These are nats for each byte. A bit is smaller than a nat: convert.",
        ),
        Mistake(
            "multiplied-by-ln-2",
            lambda losses, text: float(losses.sum()) * math.log(2) / len(text.encode()),
            "You multiply by ln 2. One bit is 0.69 nats, so there are more bits than nats.",
        ),
        Mistake(
            "per-token",
            lambda losses, text: float(losses.mean()) / math.log(2),
            "These are bits for each token. Another tokenizer would make other tokens: divide by "
            "something that both share.",
        ),
        Mistake(
            "loss",
            lambda losses, text: float(losses.mean()),
            "This is the usual loss, in nats for each token. Two things have to change: the unit, "
            "and what it is divided by.",
        ),
        Mistake(
            "per-character",
            lambda losses, text: float(losses.sum()) / math.log(2) / len(text),
            "These are bits for each character. In UTF-8 a character takes one to four bytes.",
        ),
        Mistake(
            "mean-over-bytes",
            lambda losses, text: float(losses.mean()) / math.log(2) / len(text.encode()),
            "You divide twice: the mean has divided by the tokens already. Which total do you "
            "need?",
        ),
        Mistake(
            "utf-16",
            lambda losses, text: float(losses.sum()) / math.log(2) / len(text.encode("utf-16-le")),
            "You count the bytes of UTF-16. In UTF-8 plain letters take one byte each.",
        ),
        Mistake(
            "total",
            lambda losses, text: float(losses.sum()) / math.log(2),
            "These are the bits for the whole text. How many bytes is it long?",
        ),
        Mistake(
            "perplexity",
            lambda losses, text: float(losses.mean().exp()),
            "This is the perplexity: e to the mean loss. Bits come from the losses themselves.",
        ),
    ),
    hints=(
        "How many nats does the whole text cost? Losses of tokens add up.",
        "A text's bytes are text.encode(); their number is its length.",
        "Total nats, turned into bits by dividing by ln 2, shared among the bytes.",
    ),
)


EXERCISES = (MERGES, ENCODE, NGRAM, LEAK, BITS)
