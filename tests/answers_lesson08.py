"""Lesson 08: right answers in several styles, and its mistakes as another hand writes them."""

import math

import torch
import torch.nn.functional as F
from answers import collect

RIGHT, WRONG, right, wrong = collect()


# --- shift right


@right("shift_right")
def shift_by_padding(targets, start):
    return F.pad(targets[:, :-1], (1, 0), value=start)


@right("shift_right")
def shift_by_rolling(targets, start):
    shifted = torch.roll(targets, 1, 1)
    shifted[:, 0] = start
    return shifted


@right("shift_right")
def shift_in_a_loop(targets, start):
    rows = []
    for row in targets:
        rows.append(torch.tensor([start, *row[:-1]]))
    return torch.stack(rows)


@right("shift_right")
def shift_place_by_place(targets, start):
    shifted = torch.full(targets.shape, start)
    for t in range(1, targets.shape[1]):
        shifted[:, t] = targets[:, t - 1]
    return shifted


@wrong("shift_right", "no-shift")
def shift_of_nothing(targets, start):
    return targets + 0


@wrong("shift_right", "no-room-made")
def shift_that_overwrites(targets, start):
    shifted = targets.clone()
    shifted[:, 0] = start
    return shifted


@wrong("shift_right", "shifted-left")
def shift_to_the_left(targets, start):
    shifted = torch.roll(targets, -1, dims=1)
    shifted[:, -1] = start
    return shifted


@wrong("shift_right", "rolled")
def shift_round(targets, start):
    return torch.cat([targets[:, -1:], targets[:, :-1]], dim=-1)


@wrong("shift_right", "rolled-through-the-batch")
def shift_flat(targets, start):
    shifted = torch.roll(targets, 1)
    shifted[0, 0] = start
    return shifted


@wrong("shift_right", "too-long")
def shift_without_dropping(targets, start):
    return torch.tensor([[start, *row] for row in targets.tolist()])


@wrong("shift_right", "wrong-axis")
def shift_down(targets, start):
    shifted = torch.roll(targets, 1, dims=0)
    shifted[0] = start
    return shifted


@wrong("shift_right", "padding-in-front")
def shift_into_zeros(targets, start):
    shifted = torch.zeros_like(targets)
    shifted[:, 1:] = targets[:, :-1]
    return shifted


@wrong("shift_right", "start-smeared")
def shift_in_place(targets, start):
    shifted = targets.clone()
    shifted[:, 0] = start
    for t in range(1, targets.shape[1]):
        shifted[:, t] = shifted[:, t - 1]
    return shifted


# --- cross-attention


@right("cross_attention")
def cross_fused(decoder, encoder, to_query, to_key, to_value, real):
    query, key, value = decoder @ to_query, encoder @ to_key, encoder @ to_value
    return F.scaled_dot_product_attention(query, key, value, real.unsqueeze(1))


@right("cross_attention")
def cross_by_einsum(decoder, encoder, to_query, to_key, to_value, real):
    query = torch.einsum("btm,md->btd", decoder, to_query)
    key = torch.einsum("bsm,md->bsd", encoder, to_key)
    scores = torch.einsum("btd,bsd->bts", query, key) / math.sqrt(to_key.shape[1])
    weights = scores.masked_fill(~real[:, None], -math.inf).softmax(-1)
    return torch.einsum("bts,bsm,md->btd", weights.nan_to_num(0.0), encoder, to_value)


@right("cross_attention")
def cross_sentence_by_sentence(decoder, encoder, to_query, to_key, to_value, real):
    rows = []
    for states, source, here in zip(decoder, encoder, real, strict=True):
        source = source[here]
        scores = states @ to_query @ (source @ to_key).T / to_query.shape[1] ** 0.5
        rows.append(scores.softmax(1) @ source @ to_value)
    return torch.stack(rows)


@right("cross_attention")
def cross_by_hand(decoder, encoder, to_query, to_key, to_value, real):
    scores = decoder @ to_query @ (encoder @ to_key).mT * to_key.shape[1] ** -0.5
    scores = torch.where(real[:, None], scores, torch.finfo(scores.dtype).min)
    powers = (scores - scores.amax(-1, keepdim=True)).exp() * real[:, None]
    return powers @ (encoder @ to_value) / powers.sum(-1, keepdim=True).clamp(min=1)


def blind_to(query, key, value, mask):
    scores = query @ key.transpose(1, 2) / query.shape[2] ** 0.5
    weights = scores.masked_fill(mask == 0, float("-inf")).softmax(2)
    return torch.nan_to_num(weights) @ value


@wrong("cross_attention", "keys-from-the-decoder")
def cross_with_its_own_keys(decoder, encoder, to_query, to_key, to_value, real):
    return blind_to(decoder @ to_query, decoder @ to_key, encoder @ to_value, real.unsqueeze(1))


@wrong("cross_attention", "values-from-the-decoder")
def cross_with_its_own_values(decoder, encoder, to_query, to_key, to_value, real):
    return blind_to(decoder @ to_query, encoder @ to_key, decoder @ to_value, real.unsqueeze(1))


@wrong("cross_attention", "self-attention")
def cross_without_a_source(decoder, encoder, to_query, to_key, to_value, real):
    return blind_to(decoder @ to_query, decoder @ to_key, decoder @ to_value, real.unsqueeze(1))


@wrong("cross_attention", "mask-forgotten")
def cross_with_padding(decoder, encoder, to_query, to_key, to_value, real):
    return F.scaled_dot_product_attention(decoder @ to_query, encoder @ to_key, encoder @ to_value)


@wrong("cross_attention", "mask-upside-down")
def cross_with_only_padding(decoder, encoder, to_query, to_key, to_value, real):
    query, key, value = decoder @ to_query, encoder @ to_key, encoder @ to_value
    return F.scaled_dot_product_attention(query, key, value, ~real[:, None])


@wrong("cross_attention", "mask-on-the-queries")
def cross_with_hidden_rows(decoder, encoder, to_query, to_key, to_value, real):
    return blind_to(decoder @ to_query, encoder @ to_key, encoder @ to_value, real.unsqueeze(2))


@wrong("cross_attention", "mask-without-its-axis")
def cross_with_a_flat_mask(decoder, encoder, to_query, to_key, to_value, real):
    return blind_to(decoder @ to_query, encoder @ to_key, encoder @ to_value, real)


@wrong("cross_attention", "mask-after-softmax")
def cross_masked_late(decoder, encoder, to_query, to_key, to_value, real):
    weights = (decoder @ to_query @ (encoder @ to_key).mT / len(to_key[0]) ** 0.5).softmax(-1)
    return weights @ (encoder @ to_value * real[..., None])


@wrong("cross_attention", "padding-not-a-number")
def cross_that_divides_by_zero(decoder, encoder, to_query, to_key, to_value, real):
    scores = decoder @ to_query @ (encoder @ to_key).mT / len(to_key[0]) ** 0.5
    forbidden = torch.zeros(real.shape, dtype=scores.dtype).masked_fill(~real, -math.inf)
    return (scores + forbidden[:, None]).softmax(-1) @ (encoder @ to_value)


@wrong("cross_attention", "padding-averaged")
def cross_with_a_penalty(decoder, encoder, to_query, to_key, to_value, real):
    scores = decoder @ to_query @ (encoder @ to_key).mT / len(to_key[0]) ** 0.5
    scores[~real[:, None].expand_as(scores)] = -1e9
    return scores.softmax(-1) @ (encoder @ to_value)


@wrong("cross_attention", "wrong-scale")
def cross_scaled_by_the_model(decoder, encoder, to_query, to_key, to_value, real):
    query, key, value = decoder @ to_query, encoder @ to_key, encoder @ to_value
    scale = decoder.shape[-1] ** -0.5
    return F.scaled_dot_product_attention(query, key, value, real[:, None], scale=scale)


@wrong("cross_attention", "encoder-detached")
def cross_with_a_frozen_encoder(decoder, encoder, to_query, to_key, to_value, real):
    encoder = encoder.data
    return cross_fused(decoder, encoder, to_query, to_key, to_value, real)


# --- loss without padding


@right("loss_without_padding")
def loss_of_chosen_rows(logits, targets, pad_id):
    real = targets != pad_id
    return F.cross_entropy(logits[real], targets[real])


@right("loss_without_padding")
def loss_by_gathering(logits, targets, pad_id):
    real = targets != pad_id
    said = logits.log_softmax(-1).gather(2, targets.unsqueeze(2)).squeeze(2)
    return -(said * real).sum() / real.sum()


@right("loss_without_padding")
def loss_in_a_loop(logits, targets, pad_id):
    costs = []
    for row, said in zip(logits, targets, strict=True):
        for gains, token in zip(row.log_softmax(1), said, strict=True):
            if token != pad_id:
                costs.append(-gains[token])
    return sum(costs) / len(costs)


@right("loss_without_padding")
def loss_with_its_own_mark_for_padding(logits, targets, pad_id):
    marked = targets.masked_fill(targets == pad_id, -100)
    return F.cross_entropy(logits.flatten(0, 1), marked.flatten())


@wrong("loss_without_padding", "padding-counted")
def loss_with_padding(logits, targets, pad_id):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


@wrong("loss_without_padding", "divided-by-all")
def loss_over_all_places(logits, targets, pad_id):
    costs = F.cross_entropy(logits.mT, targets, ignore_index=pad_id, reduction="none")
    return costs.mean()


@wrong("loss_without_padding", "sum")
def loss_summed(logits, targets, pad_id):
    return F.cross_entropy(logits.mT, targets, ignore_index=pad_id, reduction="sum")


@wrong("loss_without_padding", "mean-of-sentence-means")
def loss_of_sentences(logits, targets, pad_id):
    rows = zip(logits, targets, strict=True)
    return torch.stack([F.cross_entropy(x, y, ignore_index=pad_id) for x, y in rows]).mean()


@wrong("loss_without_padding", "always-0")
def loss_ignoring_0(logits, targets, pad_id):
    return F.cross_entropy(logits.mT, targets, ignore_index=0)


@wrong("loss_without_padding", "softmax-twice")
def loss_of_probabilities(logits, targets, pad_id):
    return F.cross_entropy(torch.softmax(logits, -1).mT, targets, ignore_index=pad_id)


@wrong("loss_without_padding", "no-logarithm")
def loss_without_logarithms(logits, targets, pad_id):
    return F.nll_loss(torch.softmax(logits, -1).mT, targets, ignore_index=pad_id)


@wrong("loss_without_padding", "viewed")
def loss_cut_anew(logits, targets, pad_id):
    B, T, V = logits.shape
    return F.cross_entropy(logits.reshape(B, V, T), targets, ignore_index=pad_id)


@wrong("loss_without_padding", "logits-set-to-zero")
def loss_of_flat_logits(logits, targets, pad_id):
    flat = logits.masked_fill((targets == pad_id).unsqueeze(-1), 0.0)
    return F.cross_entropy(flat.flatten(0, 1), targets.flatten())


@wrong("loss_without_padding", "shifted-again")
def loss_of_the_next(logits, targets, pad_id):
    return F.cross_entropy(logits[:, :-1].mT, targets[:, 1:], ignore_index=pad_id)


@wrong("loss_without_padding", "infinite")
def loss_in_two_steps(logits, targets, pad_id):
    said = torch.log(torch.softmax(logits, -1))
    return F.nll_loss(said.mT, targets, ignore_index=pad_id)


@wrong("loss_without_padding", "detached")
def loss_as_a_number(logits, targets, pad_id):
    loss = F.cross_entropy(logits.mT, targets, ignore_index=pad_id)
    return torch.tensor(loss.item(), dtype=logits.dtype)


# --- greedy decoding


@right("greedy_decode")
def decode_with_a_for_loop(step, start, end, max_len):
    tokens = [start]
    for _ in range(max_len):
        logits = step(tokens)
        token = logits[-1].argmax()
        tokens = [*tokens, token]
        if token == end:
            return tokens[1:]
    return tokens[1:]


@right("greedy_decode")
def decode_without_start(step, start, end, max_len):
    said = []
    while len(said) < max_len and end not in said:
        said.append(step([start, *said])[-1].argmax())
    return said


@right("greedy_decode")
def decode_by_calling_itself(step, start, end, max_len):
    def go_on(tokens):
        if len(tokens) > max_len:
            return tokens
        best = step(tokens).argmax(1)[-1]
        return [*tokens, best] if best == end else go_on([*tokens, best])

    return go_on([start])[1:]


@right("greedy_decode")
def decode_on_tensors(step, start, end, max_len):
    tokens = torch.tensor([start])
    for _ in range(max_len):
        best = step(tokens).topk(1).indices[-1]
        tokens = torch.cat([tokens, best])
        if best == end:
            break
    return tokens[1:]


@wrong("greedy_decode", "does-not-stop")
def decode_on_and_on(step, start, end, max_len):
    tokens = [start]
    while len(tokens) < max_len + 1:
        tokens.append(step(tokens)[-1].argmax().item())
    return tokens[1:]


@wrong("greedy_decode", "start-returned")
def decode_with_start(step, start, end, max_len):
    return [start, *decode_without_start(step, start, end, max_len)]


@wrong("greedy_decode", "end-left-out")
def decode_until_the_end(step, start, end, max_len):
    said = []
    for _ in range(max_len):
        token = int(step([start, *said])[-1].argmax())
        if token == end:
            break
        said.append(token)
    return said


@wrong("greedy_decode", "one-too-few")
def decode_counting_start(step, start, end, max_len):
    tokens = [start]
    while len(tokens) < max_len:
        tokens.append(int(step(tokens)[-1].argmax()))
        if tokens[-1] == end:
            break
    return tokens[1:]


@wrong("greedy_decode", "one-too-many")
def decode_once_more(step, start, end, max_len):
    tokens = [start]
    while len(tokens) - 1 <= max_len:
        tokens.append(int(step(tokens)[-1].argmax()))
        if tokens[-1] == end:
            break
    return tokens[1:]


@wrong("greedy_decode", "no-limit")
def decode_forever(step, start, end, max_len):
    tokens = [start]
    while True:
        tokens.append(int(step(tokens)[-1].argmax()))
        if tokens[-1] == end:
            return tokens[1:]


@wrong("greedy_decode", "always-the-first-row")
def decode_from_start_alone(step, start, end, max_len):
    tokens = []
    while len(tokens) < max_len and end not in tokens:
        tokens.append(int(step([start]).argmax()))
    return tokens


@wrong("greedy_decode", "largest-of-all-rows")
def decode_by_a_flat_argmax(step, start, end, max_len):
    tokens = [start]
    for _ in range(max_len):
        tokens.append(torch.argmax(step(tokens)).item())
        if tokens[-1] == end:
            break
    return tokens[1:]


@wrong("greedy_decode", "last-token-only")
def decode_without_memory(step, start, end, max_len):
    token, said = start, []
    for _ in range(max_len):
        token = int(step([token])[0].argmax())
        said.append(token)
        if token == end:
            break
    return said


@wrong("greedy_decode", "ended-before-it-began")
def decode_while_not_ended(step, start, end, max_len):
    tokens = [start]
    while tokens[-1] != end and len(tokens) <= max_len:
        tokens.append(int(step(tokens)[-1].argmax()))
    return tokens[1:]


# --- one step of beam search


@right("beam_step")
def beam_by_sorting(scores, logits, finished, end):
    found = []
    for text, score in enumerate(scores):
        for token, gain in enumerate(logits.log_softmax(1)[text]):
            if not finished[text]:
                found.append((score + gain, text, token))
            elif token == end:
                found.append((score, text, token))
    found = sorted(found)[-len(scores) :]
    return tuple(torch.tensor(column) for column in zip(*found, strict=True))


@right("beam_step")
def beam_with_a_row_for_the_finished(scores, logits, finished, end):
    table = scores[:, None] + logits - logits.logsumexp(1, keepdim=True)
    table[finished] = -math.inf
    table[finished, end] = scores[finished]
    best, place = table.view(-1).sort(descending=True)
    W = len(scores)
    return best[:W], place[:W] // logits.shape[1], place[:W] % logits.shape[1]


@right("beam_step")
def beam_one_by_one(scores, logits, finished, end):
    table = logits.log_softmax(1)
    table[finished] = -math.inf
    table[finished, end] = 0
    table = scores[:, None] + table
    found = []
    for _ in range(len(scores)):
        text, token = divmod(int(table.argmax()), logits.shape[1])
        found.append((table[text, token].item(), text, token))
        table[text, token] = -math.inf
    return tuple(torch.tensor(column) for column in zip(*found, strict=True))


def table_of(scores, step, finished, end):
    table = scores[:, None] + step
    table[finished] = -math.inf
    table[finished, end] = scores[finished]
    return table


def best_of(table):
    best, place = table.reshape(-1).topk(table.shape[0])
    return best, torch.div(place, table.shape[1], rounding_mode="floor"), place % table.shape[1]


@wrong("beam_step", "logits-added")
def beam_of_logits(scores, logits, finished, end):
    return best_of(table_of(scores, logits, finished, end))


@wrong("beam_step", "probabilities-added")
def beam_of_probabilities(scores, logits, finished, end):
    return best_of(table_of(scores, torch.softmax(logits, -1), finished, end))


@wrong("beam_step", "past-forgotten")
def beam_without_a_past(scores, logits, finished, end):
    return best_of(table_of(torch.zeros(len(scores)), logits.log_softmax(-1), finished, end))


@wrong("beam_step", "one-of-each")
def beam_of_greedy_texts(scores, logits, finished, end):
    table = table_of(scores, logits.log_softmax(-1), finished, end)
    tokens = table.argmax(-1)
    return table.amax(-1), torch.arange(len(scores)), tokens


@wrong("beam_step", "softmax-over-texts")
def beam_over_texts(scores, logits, finished, end):
    return best_of(table_of(scores, torch.log_softmax(logits, dim=0), finished, end))


@wrong("beam_step", "texts-and-tokens-swapped")
def beam_with_swapped_parts(scores, logits, finished, end):
    best, place = (
        table_of(scores, logits.log_softmax(-1), finished, end).flatten().topk(len(scores))
    )
    return best, place % logits.shape[1], place // logits.shape[1]


@wrong("beam_step", "divided-by-w")
def beam_divided_by_its_width(scores, logits, finished, end):
    best, place = (
        table_of(scores, logits.log_softmax(-1), finished, end).flatten().topk(len(scores))
    )
    return best, place // len(scores), place % len(scores)


@wrong("beam_step", "finished-goes-on")
def beam_that_never_ends(scores, logits, finished, end):
    return best_of(scores.unsqueeze(-1) + F.log_softmax(logits, -1))


@wrong("beam_step", "finished-many-times")
def beam_of_copies(scores, logits, finished, end):
    step = logits.log_softmax(-1)
    step[finished] = 0.0
    return best_of(scores[:, None] + step)


@wrong("beam_step", "finished-dropped")
def beam_of_the_unfinished(scores, logits, finished, end):
    return best_of(scores.masked_fill(finished, -math.inf)[:, None] + logits.log_softmax(-1))


# --- alignment


@right("alignment_score")
def alignment_in_a_loop(weights, truth):
    hits, places = 0, 0
    for table, sentence in zip(weights, truth, strict=True):
        for row, source in zip(table.tolist(), sentence, strict=True):
            if source >= 0:
                places += 1
                hits += row.index(max(row)) == source
    return hits / places


@right("alignment_score")
def alignment_of_flat_rows(weights, truth):
    known = truth.flatten() != -1
    rows, sources = weights.flatten(0, 1)[known], truth.flatten()[known]
    return (rows.argmax(1) == sources).sum() / len(sources)


@right("alignment_score")
def alignment_by_the_largest(weights, truth):
    there = weights.gather(-1, truth.clamp(min=0)[..., None]).squeeze(-1)
    hits = (there >= weights.amax(-1))[truth > -1]
    return hits.sum() / len(hits)


@wrong("alignment_score", "padding-counted")
def alignment_of_all_places(weights, truth):
    return (weights.max(-1).indices == truth).float().mean().item()


@wrong("alignment_score", "minus-one-is-the-last")
def alignment_that_wraps_round(weights, truth):
    hits = [
        bool(weights[b, t, truth[b, t]] == weights[b, t].max())
        for b in range(truth.shape[0])
        for t in range(truth.shape[1])
    ]
    return sum(hits) / len(hits)


@wrong("alignment_score", "first-place-left-out")
def alignment_without_place_0(weights, truth):
    known = truth > 0
    return (weights[known].argmax(-1) == truth[known]).float().mean()


@wrong("alignment_score", "mean-of-sentence-means")
def alignment_of_sentences(weights, truth):
    shares = []
    for table, sources in zip(weights, truth, strict=True):
        hits = table.argmax(-1) == sources
        shares.append(hits[sources >= 0].float().mean())
    return torch.stack(shares).mean()


@wrong("alignment_score", "counted-from-1")
def alignment_off_by_one(weights, truth):
    known = truth >= 0
    return (weights.argmax(-1) + 1 == truth)[known].float().mean()


@wrong("alignment_score", "weight-itself")
def alignment_of_weights(weights, truth):
    known = truth >= 0
    b, t = known.nonzero().T
    return weights[b, t, truth[known]].mean()


@wrong("alignment_score", "count")
def alignment_counted(weights, truth):
    return int((weights.argmax(-1) == truth).sum())


# --- exact match


@right("exact_match")
def match_in_a_loop(written, targets, end):
    right_ones = 0
    for said, wanted in zip(written.tolist(), targets.tolist(), strict=True):
        length = wanted.index(end) + 1
        right_ones += said[:length] == wanted[:length]
    return right_ones / len(targets)


@right("exact_match")
def match_of_cut_lists(written, targets, end):
    def cut(row):
        row = row.tolist()
        return row[: row.index(end)] if end in row else row

    hits = [cut(written[b]) == cut(targets[b]) for b in range(len(targets))]
    return sum(hits) / len(hits)


@right("exact_match")
def match_by_lengths(written, targets, end):
    last = (targets == end).int().argmax(1)
    after = torch.arange(targets.shape[1]) > last[:, None]
    differs = written.masked_fill(after, end) != targets.masked_fill(after, end)
    return 1 - differs.any(1).float().mean()


@wrong("exact_match", "whole-rows")
def match_of_whole_rows(written, targets, end):
    pairs = zip(written, targets, strict=True)
    return sum(torch.equal(one, other) for one, other in pairs) / len(targets)


@wrong("exact_match", "tokens-counted")
def match_of_tokens(written, targets, end):
    hits = []
    for said, wanted in zip(written.tolist(), targets.tolist(), strict=True):
        for one, other in zip(said, wanted, strict=True):
            hits.append(one == other)
            if other == end:
                break
    return sum(hits) / len(hits)


@wrong("exact_match", "end-left-out")
def match_without_the_end(written, targets, end):
    right_ones = 0
    for said, wanted in zip(written.tolist(), targets.tolist(), strict=True):
        length = wanted.index(end)
        right_ones += said[:length] == wanted[:length]
    return right_ones / len(targets)


@wrong("exact_match", "written-end-counts")
def match_of_what_was_written(written, targets, end):
    right_ones = 0
    for said, wanted in zip(written.tolist(), targets.tolist(), strict=True):
        length = said.index(end) if end in said else len(said)
        right_ones += said[:length] == wanted[:length]
    return right_ones / len(targets)


@wrong("exact_match", "all-or-nothing")
def match_of_the_batch(written, targets, end):
    return 1.0 if match_in_a_loop(written, targets, end) == 1 else 0.0


@wrong("exact_match", "count")
def match_counted(written, targets, end):
    return round(match_in_a_loop(written, targets, end) * len(targets))


@wrong("exact_match", "last-end")
def match_up_to_the_last_end(written, targets, end):
    right_ones = 0
    for said, wanted in zip(written.tolist(), targets.tolist(), strict=True):
        length = max(t for t, token in enumerate(wanted) if token == end) + 1
        right_ones += said[:length] == wanted[:length]
    return right_ones / len(targets)


@wrong("exact_match", "filling-is-0")
def match_where_not_0(written, targets, end):
    return torch.where(targets == 0, True, written == targets).all(-1).float().mean()


# No wrong answer gets through: (function, change) that leaves the result as it was, and why

EQUIVALENT = {
    ("shift_right", "targets → -targets"): "a column of the same shape",
    (
        "greedy_decode",
        "int(step(tokens)[-1].argmax()) → step(tokens)[-1].argmax()",
    ): "a tensor of one number serves as well",
    (
        "exact_match",
        "(written == targets) | after → after | (written == targets)",
    ): "an or does not mind the order",
}
MANY_RIGHT = ()
