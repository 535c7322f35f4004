"""Byte-pair encoding over bytes, written out: any text in, a vocabulary of the size you ask for.

Sennrich, Haddow and Birch 2016, section 3.2; over bytes as in GPT-2 (Radford et al. 2019,
section 2.2). Merges and ids equal those of the library tokenizers after the same training text.
"""

import heapq
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby, pairwise

from torch import Tensor

from transformer_lab.checks import id_list

Pair = tuple[int, int]

# GPT-2's order of the 256 bytes: those that print in Latin-1 come first. Ids decide between
# equally frequent pairs, so another order would learn other merges.
_PRINTED = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
BYTES = [*_PRINTED, *sorted(set(range(256)) - set(_PRINTED))]
_ID = {byte: number for number, byte in enumerate(BYTES)}
_SIGNS = {" ": "␣", "\n": "↵", "\t": "⇥"}


class BytePairs:
    """Text to ids and back: the 256 bytes, and one more piece for each merge of two.

    merges is the list of pairs in the order in which they were learned, tokens the bytes of each
    id, pieces the same to look at: ␣ for a space, \\xe2 for a byte that is no character by itself.
    BytePairs(other.merges[:n]) is the encoding as it was after n merges.
    """

    def __init__(self, merges: Iterable[tuple[bytes, bytes]]) -> None:
        """Raises ValueError for a merge of pieces that are not made yet, or into a known piece."""
        self.merges = list(merges)
        self.tokens = [bytes([byte]) for byte in BYTES]
        ids = {token: number for number, token in enumerate(self.tokens)}
        self._joined: dict[Pair, int] = {}
        for number, (left, right) in enumerate(self.merges):
            if left not in ids or right not in ids or left + right in ids:
                raise ValueError(
                    f"merges[{number}] must join two earlier pieces into a new one, got "
                    f"({left!r}, {right!r})"
                )
            ids[left + right] = self._joined[ids[left], ids[right]] = len(self.tokens)
            self.tokens.append(left + right)
        self.pieces = [_visible(token) for token in self.tokens]
        self._words: dict[str, list[int]] = {}

    @classmethod
    def train(cls, texts: str | Iterable[str], vocab_size: int) -> "BytePairs":
        """Merge the most frequent pair of neighbours, again and again, until vocab_size pieces.

        Of equally frequent pairs the one with the lower ids goes first. Fewer pieces come out when
        every word has become one piece. Raises ValueError for a vocab_size below 256.
        """
        if not isinstance(vocab_size, int) or vocab_size < 256:
            raise ValueError(f"vocab_size must be a whole number from 256, got {vocab_size!r}")
        texts = [texts] if isinstance(texts, str) else texts
        words = Counter(word for text in texts for word in cut(text))
        return cls(_learn(words, vocab_size - 256))

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, of any length. Raises what cut raises."""
        ids = []
        for word in cut(text):
            if word not in self._words:
                self._words[word] = self._encode_word(word)
            ids += self._words[word]
        return ids

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """The text of some ids; bytes that make no character become �.

        Raises ValueError that names an id that is not in the vocabulary.
        """
        numbers = id_list(ids, len(self), f"whole numbers below {len(self)}")
        return b"".join(self.tokens[number] for number in numbers).decode(errors="replace")

    def _encode_word(self, word: str) -> list[int]:
        """Merge what was learned first, as long as there is something to merge."""
        ids = _spell(word)
        while learned := [pair for pair in pairwise(ids) if pair in self._joined]:
            first = min(learned, key=self._joined.__getitem__)
            ids = _merge(ids, first, self._joined[first])
        return ids


def cut(text: str) -> list[str]:
    """Cut a text where GPT-2 does, so that no merge joins two words. Joined, it is the text again.

    Letters, numerals and other signs take the space before them along, and an English contraction
    stands alone: "I'll go, 2 km." -> ["I", "'ll", " go", ",", " 2", " km", "."]. Which characters
    are letters follows the Unicode version of this Python.
    Raises TypeError for what is not text, ValueError for a lone surrogate, which has no bytes.
    """
    if not isinstance(text, str):
        raise TypeError(f"a text must be a str, got {type(text).__name__}: {text!r}")
    if lone := re.search("[\ud800-\udfff]", text):
        raise ValueError(f"text has a lone surrogate at {lone.start()}: {lone.group()!r}")
    return _pattern().findall(text)


@cache
def _pattern() -> re.Pattern[str]:
    r"""GPT-2's pattern, its \p{L} (letters), \p{N} (numerals) and \s written for Python's re.

    Here \w is \p{L}, \p{N} and _, but \d leaves out numerals such as Ⅻ and ², and \s has four
    control characters, 1C to 1F, that are no white space in Unicode.
    """
    codes = [c for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) in ("Nl", "No")]
    runs = [[c for _, c in run] for _, run in groupby(enumerate(codes), lambda p: p[1] - p[0])]
    numerals = "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)
    space = r"[^\S\x1c-\x1f]"
    return re.compile(
        rf"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_{numerals}]+| ?[\d{numerals}]+"
        rf"| ?(?:[^\w\s]|[_\x1c-\x1f])+|{space}+(?![\S\x1c-\x1f])|{space}+"
    )


def _learn(words: Counter[str], n_merges: int) -> list[tuple[bytes, bytes]]:
    """The merges that these words teach, most frequent pair first, at most n_merges.

    A merge changes few words, so only the counts of their pairs are mended. The heap may hold a
    count from before: it is put right when it comes to the top, as counts of old pairs only fall.
    """
    spelled, times = [_spell(word) for word in words], list(words.values())
    counts: Counter[Pair] = Counter()
    where: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, ids in enumerate(spelled):
        for pair in pairwise(ids):
            counts[pair] += times[index]
            where[pair].add(index)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    tokens = [bytes([byte]) for byte in BYTES]
    merges: list[tuple[bytes, bytes]] = []
    while heap and len(merges) < n_merges:
        count, best = heapq.heappop(heap)
        if -count != counts[best]:
            if counts[best]:
                heapq.heappush(heap, (-counts[best], best))
            continue
        left, right, new = *best, len(tokens)
        merges.append((tokens[left], tokens[right]))
        tokens.append(tokens[left] + tokens[right])
        made = set()
        for index in where.pop(best):
            for pair in pairwise(spelled[index]):
                counts[pair] -= times[index]
            spelled[index] = _merge(spelled[index], best, new)
            for pair in pairwise(spelled[index]):
                counts[pair] += times[index]
                if new in pair:
                    where[pair].add(index)
                    made.add(pair)
        for pair in made:
            heapq.heappush(heap, (-counts[pair], pair))
    return merges


def _merge(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    """ids with every pair replaced by new, from the left."""
    merged: list[int] = []
    for number in ids:
        if merged and (merged[-1], number) == pair:
            merged[-1] = new
        else:
            merged.append(number)
    return merged


def _spell(word: str) -> list[int]:
    return [_ID[byte] for byte in word.encode()]


def _visible(token: bytes) -> str:
    text = token.decode(errors="backslashreplace")
    return "".join(_SIGNS.get(c, c if c.isprintable() else repr(c)[1:-1]) for c in text)
