"""Lesson 10: right answers in several styles, and its mistakes as another hand writes them."""

import math
import re
from collections import Counter
from itertools import pairwise

import torch
from answers import collect

RIGHT, WRONG, right, wrong = collect()


# --- train merges


def joined(pieces, pair):
    """Pieces with each such pair joined, step by step."""
    out, i = [], 0
    while i < len(pieces):
        both = i + 1 < len(pieces) and (pieces[i], pieces[i + 1]) == tuple(pair)
        out.append(pieces[i] + pieces[i + 1] if both else pieces[i])
        i += 2 if both else 1
    return out


@right("train_merges")
def merges_with_lists(words, n):
    spelled = {word: [*word] for word in words}
    ages, learned = sorted("".join(words)), []
    for _ in range(n):
        counts = Counter()
        for word, pieces in spelled.items():
            for pair in pairwise(pieces):
                counts[pair] += words[word]
        if len(counts) == 0:
            break
        ranks = {pair: (counts[pair], *(-ages.index(p) for p in pair)) for pair in counts}
        best = sorted(counts, key=ranks.get)[-1]
        learned.append(best)
        ages.append("".join(best))
        for word, pieces in spelled.items():
            new = []
            for piece in pieces:
                if new and (new[-1], piece) == best:
                    new[-1] += piece
                else:
                    new.append(piece)
            spelled[word] = new
    return learned


@right("train_merges")
def merges_one_by_one(words, n):
    if n < 1:
        return []
    learned = merges_one_by_one(words, n - 1)
    counts = Counter()
    for word, times in words.items():
        pieces = [*word]
        for pair in learned:
            pieces = joined(pieces, pair)
        for pair in pairwise(pieces):
            counts[pair] += times
    ages = [*sorted("".join(words)), *("".join(pair) for pair in learned)]
    ranked = sorted(counts, key=lambda p: (-counts[p], ages.index(p[0]), ages.index(p[1])))
    return learned + ranked[:1]


@right("train_merges")
def merges_with_patterns(words, n):
    texts = {word: " ".join(word) for word in words}
    made, learned = [], []
    for _ in range(n):
        pairs = [
            p for w, text in texts.items() for p in pairwise(text.split()) for _ in range(words[w])
        ]
        if not pairs:
            return learned
        age = {piece: number for number, piece in enumerate(made)}
        top = max(pairs.count(pair) for pair in pairs)
        often = [pair for pair in pairs if pairs.count(pair) == top]
        best = min(often, key=lambda pair: [(p in age, age.get(p), p) for p in pair])
        learned.append(best)
        made.append("".join(best))
        pattern = r"(?<!\S)" + " ".join(best) + r"(?!\S)"
        texts = {word: re.sub(pattern, made[-1], text) for word, text in texts.items()}
    return learned


def merges_by(words, n, rank, join=joined):
    """The most frequent pair by `rank`, n times."""
    spelled, learned = {word: list(word) for word in words}, []
    for _ in range(n):
        counts = Counter()
        for word, pieces in spelled.items():
            for pair in pairwise(pieces):
                counts[pair] += words[word]
        if counts:
            best = rank(counts, learned)
            learned.append(best)
            spelled = {word: join(pieces, best) for word, pieces in spelled.items()}
    return learned


def oldest(counts, learned):
    ages = {"".join(pair): number + 200 for number, pair in enumerate(learned)}
    age = lambda piece: ages.get(piece, ord(piece[0]))  # noqa: E731
    return min(counts, key=lambda p: (-counts[p], age(p[0]), age(p[1])))


@wrong("train_merges", "tie-first-seen")
def merges_by_counter(words, n):
    return merges_by(words, n, lambda counts, learned: counts.most_common(1)[0][0])


@wrong("train_merges", "tie-alphabet")
def merges_by_the_alphabet(words, n):
    return merges_by(
        words, n, lambda counts, learned: sorted(counts, key=lambda p: (-counts[p], p))[0]
    )


@wrong("train_merges", "counted-once")
def merges_of_letters(words, n):
    counts = Counter(pair for word, times in words.items() for pair in [*pairwise(word)] * times)
    return sorted(sorted(counts), key=counts.get, reverse=True)[:n]


@wrong("train_merges", "numbers-ignored")
def merges_of_a_list_of_words(words, n):
    return merges_by(dict.fromkeys(words, 1), n, oldest)


@wrong("train_merges", "replaced-in-text")
def merges_by_replacing(words, n):
    def replace(pieces, pair):
        return " ".join(pieces).replace("{} {}".format(*pair), "{}{}".format(*pair)).split()

    return merges_by(words, n, oldest, replace)


@wrong("train_merges", "once-a-word")
def merges_of_sets(words, n):
    spelled, learned = {word: list(word) for word in words}, []
    for _ in range(n):
        counts = {}
        for word, pieces in spelled.items():
            for pair in dict.fromkeys(pairwise(pieces)):
                counts[pair] = counts.get(pair, 0) + words[word]
        if not counts:
            break
        learned.append(oldest(counts, learned))
        spelled = {word: joined(pieces, learned[-1]) for word, pieces in spelled.items()}
    return learned


@wrong("train_merges", "no-end")
def merges_without_end(words, n):
    spelled, learned = {word: list(word) for word in words}, []
    for _ in range(n):
        counts = Counter()
        for word, pieces in spelled.items():
            for pair in pairwise(pieces):
                counts[pair] += words[word]
        top = max(counts.values())
        learned.append(oldest({p: c for p, c in counts.items() if c == top}, learned))
        spelled = {word: joined(pieces, learned[-1]) for word, pieces in spelled.items()}
    return learned


# --- encode a word


@right("encode")
def encoded_in_order(word, merges):
    pieces = list(word)
    for pair in merges:
        pieces = joined(pieces, pair)
    return pieces


@right("encode")
def encoded_by_ranks(word, merges):
    ranks = {pair: rank for rank, pair in enumerate(merges)}

    def again(pieces):
        found = [pair for pair in pairwise(pieces) if pair in ranks]
        if not found:
            return pieces
        best = sorted(found, key=ranks.get)[0]
        new = []
        for piece in pieces:
            if new and (new[-1], piece) == best:
                new[-1] += piece
            else:
                new.append(piece)
        return again(new)

    return again(list(word))


@right("encode")
def encoded_by_patterns(word, merges):
    text = " ".join(word)
    for left, right in merges:
        text = re.sub(rf"(?<!\S){left} {right}(?!\S)", left + right, text)
    return text.split(" ")


@wrong("encode", "longest-first")
def encoded_by_the_longest(word, merges):
    if not word:
        return []
    known = [left + right for left, right in merges] + [word[0]]
    piece = max((piece for piece in known if word[: len(piece)] == piece), key=len)
    return [piece, *encoded_by_the_longest(word[len(piece) :], merges)]


@wrong("encode", "leftmost-first")
def encoded_from_the_left(word, merges):
    pieces = list(word)
    i = 0
    while i < len(pieces) - 1:
        if (pieces[i], pieces[i + 1]) in merges:
            pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
            i = 0
        else:
            i += 1
    return pieces


@wrong("encode", "replaced-in-text")
def encoded_by_replacing(word, merges):
    text = " ".join(word)
    for left, right in merges:
        text = text.replace(f"{left} {right}", f"{left}{right}")
    return text.split()


@wrong("encode", "first-place-only")
def encoded_once_each(word, merges):
    pieces = list(word)
    for left, right in merges:
        for i in range(len(pieces) - 1):
            if pieces[i] == left and pieces[i + 1] == right:
                pieces = [*pieces[:i], left + right, *pieces[i + 2 :]]
                break
    return pieces


@wrong("encode", "backwards")
def encoded_upside_down(word, merges):
    pieces = list(word)
    for pair in reversed(merges):
        pieces = joined(pieces, pair)
    return pieces


@wrong("encode", "tail-lost")
def encoded_without_a_tail(word, merges):
    pieces = list(word)
    for pair in merges:
        new, i = [], 0
        while i < len(pieces) - 1:
            fits = (pieces[i], pieces[i + 1]) == pair
            new.append(pieces[i] + pieces[i + 1] if fits else pieces[i])
            i += 1 + fits
        pieces = new
    return pieces


# --- an n-gram that sums to 1


@right("ngram")
def ngram_with_a_counter(text, context, V):
    size = len(context)
    seen = Counter(text[i] for i in range(size, len(text)) if text[i - size : i] == context)
    if context:
        shorter = ngram_with_a_counter(text, context[1:], V)
    else:
        shorter = [1 / V] * V
    n, k = sum(seen.values()), len(seen)
    if n < 1:
        return shorter
    return [(seen[w] + k * shorter[w]) / (n + k) for w in range(V)]


@right("ngram")
def ngram_from_short_to_long(text, context, V):
    row = torch.full((V,), 1.0 / V)
    for start in reversed(range(len(context) + 1)):
        ending = context[start:]
        counts = torch.zeros(V)
        for place, token in enumerate(text):
            if text[:place][place - len(ending) :] == ending and place >= len(ending):
                counts[token] += 1
        n, k = counts.sum(), (counts > 0).sum()
        if n > 0:
            row = counts / (n + k) + row * (k / (n + k))
    return row


@right("ngram")
def ngram_by_weights(text, context, V):
    shorter = ngram_by_weights(text, context[1:], V) if context else torch.ones(V) / V
    size = len(context)
    runs = [text[i:] for i in range(len(text) - size)]
    behind = [run[size] for run in runs if run[:size] == context]
    if not behind:
        return shorter
    trust = len(behind) / (len(behind) + len(set(behind)))
    shares = torch.tensor(behind).bincount(minlength=V) / len(behind)
    return torch.lerp(shorter, shares, trust)


def behind(text, context, V):
    size = len(context)
    found = [text[i + size] for i in range(len(text) - size) if text[i : i + size] == context]
    return torch.tensor(found, dtype=torch.long).bincount(minlength=V)


@wrong("ngram", "counts-alone")
def ngram_of_counts(text, context, V):
    counts = behind(text, context, V)
    return [float(c / counts.sum()) if c else 0.0 for c in counts]


@wrong("ngram", "counts-divided-by-zero")
def ngram_of_shares(text, context, V):
    counts = behind(text, context, V)
    return counts / counts.sum()


@wrong("ngram", "add-one")
def ngram_of_laplace(text, context, V):
    counts = behind(text, context, V) + 1
    return counts / counts.sum()


@wrong("ngram", "backed-off")
def ngram_for_the_unseen(text, context, V):
    shorter = ngram_for_the_unseen(text, context[1:], V) if context else [1 / V] * V
    counts = behind(text, context, V)
    return [float(c / counts.sum()) if c else s for c, s in zip(counts, shorter, strict=True)]


@wrong("ngram", "k-is-n")
def ngram_half_and_half(text, context, V):
    shorter = ngram_half_and_half(text, context[1:], V) if context else torch.ones(V) / V
    counts = behind(text, context, V)
    return 0.5 * counts / counts.sum() + 0.5 * shorter if counts.sum() else shorter


@wrong("ngram", "last-token-dropped")
def ngram_from_the_wrong_end(text, context, V):
    shorter = ngram_from_the_wrong_end(text, context[:-1], V) if context else torch.ones(V) / V
    counts = behind(text, context, V)
    k = torch.count_nonzero(counts)
    return (counts + k * shorter) / (counts.sum() + k) if k else shorter


@wrong("ngram", "no-uniform")
def ngram_that_ends_at_single_tokens(text, context, V):
    counts = behind(text, context, V)
    if not context:
        n = counts.sum()
        return counts / (n + (counts > 0).sum()) if n else counts.float()
    shorter, k = ngram_that_ends_at_single_tokens(text, context[1:], V), (counts > 0).sum()
    return (counts + k * shorter) / (counts.sum() + k) if k else shorter


# --- the leak between train and validation


@right("find_the_overlap")
def leak_by_set(train, validation, n):
    known = set(zip(*(train[i:] for i in range(n)), strict=False))
    return [tuple(validation[i : i + n]) in known for i in range(len(validation) - n + 1)]


@right("find_the_overlap")
def leak_by_loops(train, validation, n):
    answer = []
    for end in range(n, len(validation) + 1):
        found = False
        for start in range(len(train)):
            if train[start : start + n] == validation[end - n : end]:
                found = True
        answer.append(found)
    return answer


@right("find_the_overlap")
def leak_in_text(train, validation, n):
    text = "".join(f"<{token}>" for token in train)
    signs = [f"<{token}>" for token in validation]
    runs = zip(*(signs[i:] for i in range(n)), strict=False)
    return ["".join(run) in text for run in runs]


@wrong("find_the_overlap", "tokens-known")
def leak_of_tokens(train, validation, n):
    starts = range(len(validation) - n + 1)
    return [all(token in train for token in validation[i : i + n]) for i in starts]


@wrong("find_the_overlap", "last-window-missed")
def leak_one_too_few(train, validation, n):
    known = [train[i : i + n] for i in range(len(train) - n + 1)]
    return [validation[i : i + n] in known for i in range(len(validation) - n)]


@wrong("find_the_overlap", "end-of-train-missed")
def leak_but_the_end(train, validation, n):
    known = [train[i : i + n] for i in range(len(train) - n)]
    return [validation[i : i + n] in known for i in range(len(validation) - n + 1)]


@wrong("find_the_overlap", "joined-with-spaces")
def leak_in_spaced_text(train, validation, n):
    text = " ".join(str(token) for token in train)
    starts = range(len(validation) - n + 1)
    return [" ".join(str(token) for token in validation[i : i + n]) in text for i in starts]


@wrong("find_the_overlap", "train-in-steps-of-n")
def leak_of_blocks(train, validation, n):
    blocks = torch.tensor(train).unfold(0, n, n).tolist() if len(train) >= n else []
    return [validation[i : i + n] in blocks for i in range(len(validation) - n + 1)]


@wrong("find_the_overlap", "order-ignored")
def leak_of_bags(train, validation, n):
    known = [Counter(train[i : i + n]) for i in range(len(train) - n + 1)]
    return [Counter(validation[i : i + n]) in known for i in range(len(validation) - n + 1)]


# --- bits per byte


@right("bits_per_byte")
def bits_of_the_sum(losses, text):
    return losses.sum() / math.log(2) / len(text.encode("utf-8"))


@right("bits_per_byte")
def bits_token_by_token(losses, text):
    bits = 0.0
    for loss in losses:
        bits -= math.log2(math.exp(-loss))
    return bits / sum(1 for byte in bytes(text, "utf-8"))


@right("bits_per_byte")
def bits_from_the_mean(losses, text):
    tokens_per_byte = len(losses) / len(bytearray(text.encode()))
    return losses.mean() * tokens_per_byte * math.log2(math.e)


@wrong("bits_per_byte", "nats")
def bits_in_nats(losses, text):
    return losses.mean() * len(losses) / len(text.encode())


@wrong("bits_per_byte", "per-token")
def bits_for_each_token(losses, text):
    return (losses / math.log(2)).mean()


@wrong("bits_per_byte", "per-character")
def bits_for_each_character(losses, text):
    return sum(loss.item() for loss in losses) * math.log2(math.e) / sum(1 for c in text)


@wrong("bits_per_byte", "multiplied-by-ln-2")
def bits_the_wrong_way(losses, text):
    return torch.tensor(0.6931471805599453) * losses.sum() / len(text.encode())


@wrong("bits_per_byte", "mean-over-bytes")
def bits_divided_twice(losses, text):
    return torch.mean(losses).item() / math.log(2) / len(text.encode())


@wrong("bits_per_byte", "perplexity")
def bits_as_perplexity(losses, text):
    return math.exp(losses.sum() / len(losses))


EQUIVALENT = {}
MANY_RIGHT = ()
