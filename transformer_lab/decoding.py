"""Text out of a model, one token at a time."""

import math

import torch
from torch import Tensor

from transformer_lab.bounds import check_number
from transformer_lab.checks import check_floats, seeded
from transformer_lab.models import EncoderDecoder, LanguageModel
from transformer_lab.writer import Writer, check_prompt


@torch.no_grad()
def generate(
    model: LanguageModel | EncoderDecoder,
    tokens: Tensor,
    max_new_tokens: int,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    beams: int = 1,
    length_penalty: float = 0.0,
    cache: bool = True,
    seed: int | None = None,
    source: Tensor | None = None,
    mask: Tensor | None = None,
    end_id: int | None = None,
) -> Tensor:
    """Continue tokens (B, T) by up to max_new_tokens: -> (B, T + new).

    temperature 0 takes the most likely token each time (greedy). Above 0 it draws, seeded by seed,
    from what `filtered` leaves of the distribution. beams > 1 searches instead for the likeliest
    text, see `search`. An EncoderDecoder also takes source (B, S). mask (B, T) is False where a
    prompt was padded, which must be at its left (`left_pad`); None takes it from config.pad_id.
    After end_id a row holds nothing but end_id, and writing stops when all rows have ended. The
    model is left in the mode it was in; with cache=False every step runs the whole text again.
    Raises ValueError, naming them, for arguments that do not fit.
    """
    check_number("max_new_tokens", max_new_tokens, least=1, integer=True)
    check_number("temperature", temperature, least=0)
    check_number("beams", beams, least=1, integer=True)
    check_number("length_penalty", length_penalty)
    if beams > 1 and temperature > 0:
        raise ValueError(
            f"temperature or beams, not both: got temperature={temperature}, beams={beams}"
        )
    _check_filters(top_k, top_p, min_p)
    if not isinstance(cache, bool):
        raise TypeError(f"cache must be True or False, got {cache!r}")
    check_prompt(model, tokens, max_new_tokens, source)
    if end_id is not None:
        most = model.config.vocab_size - 1
        check_number("end_id", end_id, least=0, most=most, integer=True)
    random = None if seed is None else seeded(seed, tokens.device)
    was_training = model.training
    model.eval()
    try:
        writer = Writer(model, tokens, max_new_tokens, cache, source, mask)
        with torch.inference_mode(writer.plain is not None):  # what a hook keeps is of use later
            if beams > 1:
                written = search(writer, max_new_tokens, beams, length_penalty, end_id)
            else:
                filters = top_k, top_p, min_p
                written = _draw(writer, max_new_tokens, temperature, filters, random, end_id)
    finally:
        model.train(was_training)
    return written.clone()  # an ordinary tensor


def _draw(
    writer: Writer,
    max_new_tokens: int,
    temperature: float,
    filters: tuple,
    random: torch.Generator | None,
    end_id: int | None,
) -> Tensor:
    ended = torch.zeros_like(writer.tokens[:, :1], dtype=torch.bool)
    for _ in range(max_new_tokens):
        logits = writer.next_logits()
        if temperature == 0:
            chosen = logits.argmax(-1, keepdim=True)
        else:
            kept = filtered(logits / temperature, *filters)
            chosen = torch.multinomial(kept.softmax(-1), 1, generator=random)
        if end_id is not None:
            chosen = chosen.masked_fill(ended, end_id)
            ended |= chosen == end_id
        writer.append(chosen)
        if end_id is not None and ended.all():
            break
    return writer.tokens


def filtered(
    logits: Tensor,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
) -> Tensor:
    """Logits (..., V) with -inf for every token that is not kept.

    top_k keeps the k likeliest tokens (Fan et al. 2018); top_p then the smallest set whose
    probabilities reach p (Holtzman et al. 2020, section 3.1); min_p then those at least min_p times
    as likely as the likeliest (Nguyen et al. 2024). The likeliest token is always kept.
    """
    check_floats("logits", logits, "(..., V)", 1)
    _check_filters(top_k, top_p, min_p)
    if top_k is not None and top_k < logits.shape[-1]:
        least = logits.topk(top_k, -1).indices
        kept = torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, least, True)
        logits = logits.masked_fill(~kept, -math.inf)
    if top_p is not None:
        ranked, order = logits.softmax(-1).sort(dim=-1, descending=True)
        before = ranked.cumsum(-1) - ranked  # what the likelier tokens already hold
        dropped = torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, order, before >= top_p)
        logits = logits.masked_fill(dropped, -math.inf)
    if min_p is not None:
        probability = logits.softmax(-1)
        least_likely = min_p * probability.amax(-1, keepdim=True)
        logits = logits.masked_fill(probability < least_likely, -math.inf)
    return logits


def search(
    writer: Writer, max_new_tokens: int, beams: int, length_penalty: float, end_id: int | None
) -> Tensor:
    """Beam search: keep the `beams` likeliest beginnings of each row, return the best (B, T + new).

    The best has the largest log-probability / ((5 + n) / 6) ** length_penalty for n new tokens, its
    end included (Wu et al. 2016, equation 14); 0 leaves the log-probability alone.
    """
    B = len(writer.tokens)
    writer.reorder(torch.arange(B, device=writer.tokens.device).repeat_interleave(beams))
    scores = torch.full((B, beams), -math.inf, device=writer.tokens.device)
    scores[:, 0] = 0.0  # all beams of a row are equal at the start: only one may go on
    ended = torch.zeros_like(scores, dtype=torch.bool)
    lengths = torch.zeros_like(scores)
    for _ in range(max_new_tokens):
        step = writer.next_logits().log_softmax(-1).view(B, beams, -1)
        V = step.shape[-1]
        if end_id is not None:
            stay = torch.full((V,), -math.inf, device=step.device)
            stay[end_id] = 0.0  # an ended text repeats its end, at no cost
            step = torch.where(ended[..., None], stay, step)
        scores, best = (scores[..., None] + step).flatten(1).topk(beams)
        beam, chosen = best // V, best % V
        ended, lengths = ended.gather(1, beam), lengths.gather(1, beam)
        lengths = lengths + ~ended
        if end_id is not None:
            ended = ended | (chosen == end_id)
        rows = beam + beams * torch.arange(B, device=beam.device)[:, None]
        writer.reorder(rows.flatten(), same_prompts=True)
        writer.append(chosen.view(-1, 1))
        if ended.all():
            break
    final = (scores / ((5 + lengths) / 6) ** length_penalty).argmax(1)
    return writer.tokens.view(B, beams, -1)[torch.arange(B, device=final.device), final]


def _check_filters(top_k: int | None, top_p: float | None, min_p: float | None) -> None:
    if top_k is not None:
        check_number("top_k", top_k, least=1, integer=True)
    for name, share in (("top_p", top_p), ("min_p", min_p)):
        if share is not None:
            check_number(name, share, above=0, most=1)
