"""Lesson 11: right answers in several styles, and its mistakes as another hand writes them."""

import math

import torch
import torch.nn.functional as F
from answers import collect
from torch import nn

RIGHT, WRONG, right, wrong = collect()


# --- the learning rate


@right("learning_rate")
def rate_in_three_parts(step, steps, warmup, floor):
    if step <= warmup:
        return step / warmup
    if step >= steps:
        return floor
    done = (step - warmup) / (steps - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


@right("learning_rate")
def rate_from_a_table(step, steps, warmup, floor):
    up = torch.linspace(0, 1, warmup + 1)
    wave = 1 + torch.cos(torch.linspace(0, torch.pi, steps - warmup + 1))
    table = torch.cat([up[:-1], floor + (1 - floor) / 2 * wave])
    return table[step] if step < len(table) else floor


@right("learning_rate")
def rate_step_by_step(step, steps, warmup, floor):
    share = 0
    for now in range(1, step + 1):
        if now <= warmup:
            share = share + 1 / warmup
        elif now <= steps:
            share = math.cos(math.pi / 2 * (now - warmup) / (steps - warmup)) ** 2
            share = floor * (1 - share) + share
    return share


@wrong("learning_rate", "rises-again")
def rate_without_an_end(step, steps, warmup, floor):
    if step < warmup:
        return step / warmup
    angle = math.pi * (step - warmup) / (steps - warmup)
    return (1 + floor) / 2 + (1 - floor) / 2 * math.cos(angle)


@wrong("learning_rate", "counts-from-0")
def rate_that_starts_at_nothing(step, steps, warmup, floor):
    if step <= warmup:
        return (step - 1) * (1 / warmup)
    return rate_in_three_parts(step, steps, warmup, floor)


@wrong("learning_rate", "floor-forgotten")
def rate_down_to_nothing(step, steps, warmup, floor):
    if step <= warmup:
        return step / warmup
    return math.cos(min(step - warmup, steps - warmup) / (steps - warmup) * math.pi / 2) ** 2


@wrong("learning_rate", "straight-fall")
def rate_on_two_lines(step, steps, warmup, floor):
    if step <= warmup:
        return step / warmup
    left = max(steps - step, 0) / (steps - warmup)
    return left + (1 - left) * floor


@wrong("learning_rate", "degrees")
def rate_in_degrees(step, steps, warmup, floor):
    if step <= warmup:
        return step / warmup
    angle = 180 * (min(step, steps) - warmup) / (steps - warmup)
    return torch.tensor(floor + (1 - floor) * (1 + math.cos(angle)) / 2)


@wrong("learning_rate", "cut-at-the-floor")
def rate_cut_off(step, steps, warmup, floor):
    return max(rate_down_to_nothing(step, steps, warmup, 0), floor if step > warmup else 0)


@wrong("learning_rate", "divides-by-no-warm-up")
def rate_that_divides_first(step, steps, warmup, floor):
    up = step / warmup
    return up if up <= 1 else rate_in_three_parts(step, steps, warmup, floor)


@wrong("learning_rate", "warm-up-counted")
def rate_with_a_jump(step, steps, warmup, floor):
    if step <= warmup:
        return step / warmup
    done = min(step / steps, 1)
    return floor + (1 - floor) * (math.cos(math.pi * done) + 1) * 0.5


# --- the loss


@right("next_token_loss")
def loss_by_transposing(logits, tokens):
    return F.cross_entropy(logits.mT[:, :, :-1], tokens[:, 1:])


@right("next_token_loss")
def loss_by_gathering(logits, tokens):
    logs = logits.log_softmax(-1)[:, :-1]
    return -logs.gather(2, tokens[:, 1:].unsqueeze(2)).mean()


@right("next_token_loss")
def loss_in_a_loop(logits, tokens):
    losses = []
    for logs, text in zip(logits.log_softmax(-1), tokens, strict=True):
        for t in range(len(text) - 1):
            losses.append(-logs[t, text[t + 1]])
    return torch.stack(losses).mean()


@right("next_token_loss")
def loss_by_one_hot(logits, tokens):
    target = F.one_hot(tokens[:, 1:], logits.shape[-1])
    shifted = logits - logits.amax(-1, keepdim=True)
    logs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    return -(target * logs[:, :-1]).sum(-1).mean()


@right("next_token_loss")
def loss_by_ignoring_the_end(logits, tokens):
    expected = F.pad(tokens[:, 1:], (0, 1), value=-100)
    return F.cross_entropy(logits.flatten(0, 1), expected.flatten())


@wrong("next_token_loss", "no-shift")
def loss_of_a_copy(logits, tokens):
    return F.nll_loss(logits.log_softmax(-1).mT, tokens)


@wrong("next_token_loss", "shifted-backwards")
def loss_of_the_past(logits, tokens):
    logs = logits[:, 1:].log_softmax(-1)
    return -logs.gather(-1, tokens[:, :-1, None]).mean()


@wrong("next_token_loss", "wraps-around")
def loss_in_a_circle(logits, tokens):
    expected = torch.cat([tokens[:, 1:], tokens[:, :1]], 1)
    return F.cross_entropy(logits.mT, expected)


@wrong("next_token_loss", "softmax-first")
def loss_of_probabilities(logits, tokens):
    V = logits.shape[-1]
    return F.cross_entropy(logits.softmax(-1)[:, :-1].reshape(-1, V), tokens[:, 1:].reshape(-1))


@wrong("next_token_loss", "log-of-zero")
def loss_in_two_steps(logits, tokens):
    shares = torch.softmax(logits, -1)[:, :-1]
    right = torch.take_along_dim(shares, tokens[:, 1:, None], -1)
    return torch.mean(-torch.log(right))


@wrong("next_token_loss", "divides-by-T")
def loss_over_every_position(logits, tokens):
    logs = logits.log_softmax(-1)[:, :-1].gather(-1, tokens[:, 1:, None])
    return -logs.sum() / (len(tokens) * tokens.shape[1])


@wrong("next_token_loss", "sum")
def loss_added_up(logits, tokens):
    return F.cross_entropy(logits[:, :-1].mT, tokens[:, 1:], reduction="sum")


@wrong("next_token_loss", "view-without-transpose")
def loss_after_a_view(logits, tokens):
    B, T, V = logits.shape
    return F.cross_entropy(logits[:, :-1].contiguous().view(B, V, T - 1), tokens[:, 1:])


@wrong("next_token_loss", "detached")
def loss_as_a_number(logits, tokens):
    return torch.tensor(loss_by_transposing(logits, tokens).item(), dtype=logits.dtype)


# --- the floor of a smoothed loss


@right("smoothing_floor")
def floor_in_a_loop(smoothing, classes):
    target = [1 - smoothing + smoothing / classes] + [smoothing / classes] * (classes - 1)
    return sum(-p * math.log(p) for p in target if p > 0)


@right("smoothing_floor")
def floor_by_torch(smoothing, classes):
    target = torch.full((classes,), smoothing / classes)
    target[:1] += 1 - smoothing
    return torch.special.entr(target).sum()


@right("smoothing_floor")
def floor_by_the_loss_itself(smoothing, classes):
    target = torch.full((1, classes), smoothing / classes)
    target[:, :1] += 1 - smoothing
    return F.cross_entropy(target.log(), torch.tensor([0]), label_smoothing=smoothing)


@right("smoothing_floor")
def floor_by_a_formula(smoothing, classes):
    if smoothing > 0:
        other = smoothing / classes
        first = 1 - smoothing + other
        return -first * math.log(first) - (1 - first) * math.log(other)
    return 0


@wrong("smoothing_floor", "right-token-only")
def floor_of_the_right_token(smoothing, classes):
    return math.log(1 / (1 - smoothing * (classes - 1) / classes))


@wrong("smoothing_floor", "spread-over-the-others")
def floor_without_the_right_token(smoothing, classes):
    target = torch.full((classes,), smoothing / max(1, classes - 1), dtype=torch.float64)
    target[0] = 1 - smoothing
    return torch.special.entr(target).sum()


@wrong("smoothing_floor", "bits")
def floor_in_bits(smoothing, classes):
    target = [1 - smoothing + smoothing / classes, *[smoothing / classes] * (classes - 1)]
    return -sum(p * math.log2(p) for p in target if p > 0)


@wrong("smoothing_floor", "log-of-zero")
def floor_that_takes_every_log(smoothing, classes):
    other = smoothing / classes
    first = 1 - smoothing + other
    return -first * math.log(first) - (classes - 1) * other * math.log(other)


@wrong("smoothing_floor", "one-other")
def floor_of_two_tokens(smoothing, classes):
    target = torch.tensor([1 - smoothing + smoothing / classes, smoothing / classes]).double()
    return torch.special.entr(target).sum()


@wrong("smoothing_floor", "others-as-one")
def floor_of_a_coin(smoothing, classes):
    return torch.special.entr(torch.tensor([smoothing, 1 - smoothing])).sum()


# --- name the curve


@right("name_the_curve")
def curve_by_shares(train, validation, guess):
    mine, other = train[-1] / guess, validation[-1] / guess
    if not mine <= 1.1:
        return "rate too high"
    if mine > 0.9:
        return "stuck"
    if other < 0.1:
        return "leak"
    return "overfitting" if other - min(validation) / guess > 0.1 else "healthy"


@right("name_the_curve")
def curve_from_the_end_of_the_list(train, validation, guess):
    name = "healthy"
    if validation[-1] - min(validation) > 0.1 * guess:
        name = "overfitting"
    if validation[-1] < 0.1 * guess:
        name = "leak"
    if train[-1] > 0.9 * guess:
        name = "stuck"
    if train[-1] > 1.1 * guess or train[-1] != train[-1]:
        name = "rate too high"
    return name


@right("name_the_curve")
def curve_by_tensors(train, validation, guess):
    end = train[-1] / guess
    shares = torch.tensor(validation) / guess
    if end < 0.9:
        if shares[-1] < 0.1:
            return "leak"
        return "overfitting" if shares[-1] > shares.amin() + 0.1 else "healthy"
    return "stuck" if end < 1.1 else "rate too high"


@wrong("name_the_curve", "nan-missed")
def curve_without_nan(train, validation, guess):
    if train[-1] > 1.1 * guess:
        return "rate too high"
    if 0.9 * guess < train[-1] < 1.1 * guess:
        return "stuck"
    if validation[-1] < 0.1 * guess:
        return "leak"
    if train[-1] < guess and validation[-1] > min(validation) + 0.1 * guess:
        return "overfitting"
    return "healthy"


@wrong("name_the_curve", "leak-by-training-alone")
def curve_with_a_leak_too_many(train, validation, guess):
    name = curve_by_shares(train, validation, guess)
    return "leak" if train[-1] < 0.1 * guess else name


@wrong("name_the_curve", "gap")
def curve_by_its_gap(train, validation, guess):
    name = curve_by_shares(train, validation, guess)
    if name in ("healthy", "overfitting"):
        name = "overfitting" if (validation[-1] - train[-1]) / guess > 0.1 else "healthy"
    return name


@wrong("name_the_curve", "stuck-by-the-fall")
def curve_that_fell(train, validation, guess):
    if math.isnan(train[-1]) or train[-1] > 1.1 * guess:
        return "rate too high"
    if train[-1] > train[0] - 0.1 * guess:
        return "stuck"
    if validation[-1] < 0.1 * guess:
        return "leak"
    return "overfitting" if validation[-1] > min(validation) + 0.1 * guess else "healthy"


@wrong("name_the_curve", "rate-by-the-largest")
def curve_by_its_peak(train, validation, guess):
    peak = torch.tensor(train).div(guess).amax()  # NaN wherever one is
    return curve_by_shares(train, validation, guess) if peak <= 1.1 else "rate too high"


@wrong("name_the_curve", "no-margin")
def curve_without_a_margin(train, validation, guess):
    name = curve_by_shares(train, validation, guess)
    rises = validation[-1] != min(validation)
    return name if name not in ("healthy", "overfitting") or not rises else "overfitting"


# --- weight decay


@right("decay_groups")
def decay_by_axes(model):
    return {name for name, p in model.named_parameters() if len(p.shape) > 1}


@right("decay_groups")
def decay_in_a_loop(model):
    names = []
    for name, p in model.named_parameters():
        if p.shape[1:]:
            names.append(name)
    return names


@right("decay_groups")
def decay_by_exclusion(model):
    names = set(dict(model.named_parameters()))
    for name, p in model.named_parameters():
        if len(p.shape) <= 1:
            names.discard(name)
    return names


@right("decay_groups")
def decay_of_what_is_a_table_already(model):
    weights = dict(model.named_parameters())
    return [
        name for name in weights if torch.atleast_2d(weights[name]).shape == weights[name].shape
    ]


@wrong("decay_groups", "everything")
def decay_of_all(model):
    return list(dict(model.named_parameters()))


@wrong("decay_groups", "named-weight")
def decay_by_the_last_word(model):
    return {name for name, _ in model.named_parameters() if name.split(".")[-1][-6:] == "weight"}


@wrong("decay_groups", "not-named-bias")
def decay_without_bias(model):
    names = [name for name, _ in model.named_parameters()]
    return [name for name in names if name.find("bias") < 0]


@wrong("decay_groups", "exactly-two-axes")
def decay_of_matrices(model):
    return {name for name, p in model.named_parameters() if len(p.shape) == 2}


@wrong("decay_groups", "state-dict")
def decay_of_all_that_is_saved(model):
    saved = model.state_dict()
    return [name for name in saved if saved[name].ndim >= 2]


@wrong("decay_groups", "linear-layers-only")
def decay_of_linear_layers(model):
    linear = {id(m.weight) for m in model.modules() if type(m) is nn.Linear}
    embedded = {id(m.weight) for m in model.modules() if type(m) is nn.Embedding}
    names = {name for name, p in model.named_parameters() if id(p) in linear - embedded}
    return names


# No wrong answer gets through: (function, change) that leaves the result as it was, and why

EQUIVALENT = {
    ("rate_in_three_parts", "step - warmup → warmup - step"): "a cosine does not mind the sign",
    ("rate_in_three_parts", "steps - warmup → warmup - steps"): "a cosine does not mind the sign",
    ("rate_in_three_parts", "done → -done"): "a cosine does not mind the sign",
    ("rate_step_by_step", "now - warmup → warmup - now"): "a cosine does not mind the sign",
    ("rate_step_by_step", "steps - warmup → warmup - steps"): "a cosine does not mind the sign",
    ("share_of_rate", "min(step, steps) → min(steps, step)"): "the same smaller one",
    ("diagnosis", "10 → 11"): "the curves leave a little room around a tenth",
    ("diagnosis", "10 → 9"): "the curves leave a little room around a tenth",
    ("decaying", "0.01 → 0.12000000000000001"): "how strong the decay is does not matter here",
}
MANY_RIGHT = ()
