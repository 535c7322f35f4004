"""Lesson 05: right answers in several styles, and its mistakes as another hand writes them."""

import torch
import torch.nn.functional as F
from answers import collect
from torch import nn

RIGHT, WRONG, right, wrong = collect()


# --- split


@right("split_heads")
def split_by_permute(x, H):
    return x.unflatten(-1, (H, -1)).permute(0, 2, 1, 3)


@right("split_heads")
def split_by_chunks(x, H):
    return torch.stack(torch.chunk(x, H, dim=-1), dim=1)


@right("split_heads")
def split_in_a_loop(x, H):
    d = x.shape[-1] // H
    heads = [x[:, :, h * d : (h + 1) * d] for h in range(H)]
    return torch.stack(heads, 1)


@right("split_heads")
def split_by_einsum(x, H):
    return torch.einsum("bthd->bhtd", x.reshape(*x.shape[:-1], H, -1))


@wrong("split_heads", "view-without-transpose")
def split_by_view_alone(x, H):
    B, T, D = x.shape
    return x.contiguous().view(B, H, T, D // H)


@wrong("split_heads", "not-swapped")
def split_without_a_move(x, H):
    return torch.stack(x.chunk(H, -1), 2)


@wrong("split_heads", "every-Hth")
def split_with_steps(x, H):
    return torch.stack([x[..., h::H] for h in range(H)], 1)


@wrong("split_heads", "H-for-d")
def split_into_heads_of_H(x, H):
    return torch.stack(x.split(H, -1), 1)


@wrong("split_heads", "heads-first")
def split_into_a_list(x, H):
    return torch.stack(x.chunk(H, -1))


@wrong("split_heads", "samples-and-heads-in-one")
def split_into_one_axis(x, H):
    B, T, D = x.shape
    return x.reshape(B, T, H, D // H).transpose(1, 2).reshape(B * H, T, D // H)


# --- merge


@right("merge_heads")
def merge_by_permute(heads):
    return heads.permute(0, 2, 1, 3).flatten(2)


@right("merge_heads")
def merge_by_cat(heads):
    return torch.cat(heads.unbind(1), -1)


@right("merge_heads")
def merge_in_a_loop(heads):
    parts = [heads[:, h] for h in range(heads.shape[1])]
    return torch.cat(parts, dim=2)


@right("merge_heads")
def merge_of_a_copy(heads):
    B, H, T, d = heads.shape
    return heads.permute(0, 2, 1, 3).contiguous().view(B, T, H * d)


@wrong("merge_heads", "reshape-without-transpose")
def merge_by_view_alone(heads):
    B, H, T, d = heads.shape
    return heads.contiguous().view(B, T, H * d)


@wrong("merge_heads", "view-after-transpose")
def merge_without_a_copy(heads):
    B, H, T, d = heads.shape
    return heads.permute(0, 2, 1, 3).view(B, T, H * d)


@wrong("merge_heads", "numbers-before-heads")
def merge_by_stack(heads):
    return torch.stack(heads.unbind(1), -1).flatten(2)


@wrong("merge_heads", "not-merged")
def merge_that_moves_only(heads):
    return heads.permute(0, 2, 1, 3)


@wrong("merge_heads", "added")
def merge_by_sum(heads):
    return sum(heads[:, h] for h in range(heads.shape[1]))


# --- multi-head attention


@right("multi_head")
def heads_in_a_loop(x, W_query, W_key, W_value, W_output, H):
    d = x.shape[-1] // H
    total = 0
    for h in range(H):
        own = slice(h * d, (h + 1) * d)
        scores = x @ W_query[:, own] @ (x @ W_key[:, own]).mT / d**0.5
        total = total + scores.softmax(-1) @ x @ W_value[:, own] @ W_output[own]
    return total


@right("multi_head")
def heads_by_einsum(x, W_query, W_key, W_value, W_output, H):
    query, key, value = (
        torch.einsum("btD,Dhd->bthd", x, W.unflatten(1, (H, -1))) for W in (W_query, W_key, W_value)
    )
    weights = torch.einsum("bthd,bshd->bhts", query, key).mul((H / x.shape[-1]) ** 0.5).softmax(3)
    mixed = torch.einsum("bhts,bshd->bthd", weights, value)
    return torch.einsum("bthd,hdD->btD", mixed, W_output.unflatten(0, (H, -1)))


@right("multi_head")
def heads_by_the_fused_kernel(x, W_query, W_key, W_value, W_output, H):
    parts = [torch.stack((x @ W).chunk(H, -1)) for W in (W_query, W_key, W_value)]
    return torch.cat(list(F.scaled_dot_product_attention(*parts)), -1) @ W_output


@right("multi_head")
def heads_by_torchs_module(x, W_query, W_key, W_value, W_output, H):
    theirs = nn.MultiheadAttention(x.shape[-1], H, batch_first=True, dtype=x.dtype)
    theirs.in_proj_weight = nn.Parameter(torch.cat([W_query, W_key, W_value], 1).T)
    theirs.out_proj.weight = nn.Parameter(W_output.T)
    return theirs(query=x, key=x, value=x)[0]


def cut(x, H):
    return torch.stack(x.chunk(H, -1), 1)


@wrong("multi_head", "no-output")
def heads_side_by_side(x, W_query, W_key, W_value, W_output, H):
    parts = [cut(x @ W, H) for W in (W_query, W_key, W_value)]
    return torch.cat(F.scaled_dot_product_attention(*parts).unbind(1), -1)


@wrong("multi_head", "one-head")
def heads_forgotten(x, W_query, W_key, W_value, W_output, H):
    query, key, value = x @ W_query, x @ W_key, x @ W_value
    weights = torch.softmax(query @ key.mT * x.shape[-1] ** -0.5, -1)
    return weights @ value @ W_output


@wrong("multi_head", "scale-by-D")
def heads_over_root_D(x, W_query, W_key, W_value, W_output, H):
    query, key, value = (cut(x @ W, H) for W in (W_query, W_key, W_value))
    scores = torch.einsum("bhtd,bhsd->bhts", query, key) / x.shape[-1] ** 0.5
    return torch.cat((scores.softmax(-1) @ value).unbind(1), -1) @ W_output


@wrong("multi_head", "view-without-transpose")
def heads_by_view_alone(x, W_query, W_key, W_value, W_output, H):
    B, T, D = x.shape
    parts = [(x @ W).contiguous().view(B, H, T, D // H) for W in (W_query, W_key, W_value)]
    mixed = F.scaled_dot_product_attention(*parts)
    return mixed.transpose(1, 2).contiguous().view(B, T, D) @ W_output


@wrong("multi_head", "merge-without-transpose")
def heads_merged_by_view(x, W_query, W_key, W_value, W_output, H):
    parts = [cut(x @ W, H) for W in (W_query, W_key, W_value)]
    mixed = F.scaled_dot_product_attention(*parts)
    return torch.matmul(mixed.contiguous().view(x.shape), W_output)


@wrong("multi_head", "heads-behind-tokens")
def heads_that_meet_in_each_token(x, W_query, W_key, W_value, W_output, H):
    B, T, D = x.shape
    parts = [(x @ W).view(B, T, H, D // H) for W in (W_query, W_key, W_value)]
    return F.scaled_dot_product_attention(*parts).reshape(B, T, D) @ W_output


@wrong("multi_head", "input-sliced")
def heads_of_the_embedding(x, W_query, W_key, W_value, W_output, H):
    d, mixed = x.shape[-1] // H, []
    for h, part in enumerate(x.chunk(H, -1)):
        rows = slice(h * d, h * d + d)
        query, key, value = (part @ W[rows, rows] for W in (W_query, W_key, W_value))
        mixed.append((query @ key.mT / d**0.5).softmax(-1) @ value)
    return torch.cat(mixed, -1) @ W_output


@wrong("multi_head", "matrices-transposed")
def heads_by_linear(x, W_query, W_key, W_value, W_output, H):
    parts = [cut(F.linear(x, W), H) for W in (W_query, W_key, W_value)]
    mixed = F.scaled_dot_product_attention(*parts)
    return F.linear(torch.cat(mixed.unbind(1), -1), W_output)


# --- the weights in torch's own module


@right("to_torch_attention")
def copied_by_cat(query, key, value, output):
    weight = torch.cat([query.weight, key.weight, value.weight])
    bias = torch.cat([query.bias, key.bias, value.bias])
    return weight, bias, output.weight, output.bias


@right("to_torch_attention")
def copied_into_a_module(query, key, value, output):
    D = output.out_features
    theirs = nn.MultiheadAttention(D, 1)
    with torch.no_grad():
        for place, part in enumerate([query, key, value]):
            rows = slice(place * D, (place + 1) * D)
            theirs.in_proj_weight[rows] = part.weight
            theirs.in_proj_bias[rows] = part.bias
    return [theirs.in_proj_weight, theirs.in_proj_bias, output.weight, output.bias]


@right("to_torch_attention")
def copied_by_stack(query, key, value, output):
    weight = torch.stack([part.weight for part in (query, key, value)]).flatten(0, 1)
    bias = torch.hstack([part.bias for part in (query, key, value)])
    return weight, bias, output.weight, output.bias


@wrong("to_torch_attention", "side-by-side")
def copied_into_a_wide_matrix(query, key, value, output):
    weight = torch.hstack([query.weight, key.weight, value.weight])
    return weight, torch.cat([query.bias, key.bias, value.bias]), output.weight, output.bias


@wrong("to_torch_attention", "each-transposed")
def copied_as_plain_matrices(query, key, value, output):
    weight = torch.hstack([query.weight, key.weight, value.weight]).reshape(-1, 3, len(key.weight))
    weight = weight.permute(1, 2, 0).flatten(0, 1)
    return weight, torch.cat([query.bias, key.bias, value.bias]), output.weight, output.bias


@wrong("to_torch_attention", "key-first")
def copied_key_query_value(query, key, value, output):
    weight = torch.vstack([key.weight, query.weight, value.weight])
    return weight, torch.hstack([key.bias, query.bias, value.bias]), output.weight, output.bias


@wrong("to_torch_attention", "bias-forgotten")
def copied_without_biases(query, key, value, output):
    weight = torch.vstack([query.weight, key.weight, value.weight])
    return weight, torch.zeros(3 * query.in_features), output.weight, output.bias


@wrong("to_torch_attention", "output-transposed")
def copied_with_a_turned_output(query, key, value, output):
    weight, bias, out, out_bias = copied_by_cat(query, key, value, output)
    return weight, bias, out.mT, out_bias


# --- grouped queries


@right("grouped_query")
def grouped_in_a_loop(query, key, value):
    H, K, heads = query.shape[1], key.shape[1], []
    for h in range(H):
        k = h * K // H
        scores = query[:, h] @ key[:, k].mT / query.shape[-1] ** 0.5
        heads.append(scores.softmax(-1) @ value[:, k])
    return torch.stack(heads, 1)


@right("grouped_query")
def grouped_by_an_axis_for_groups(query, key, value):
    K = key.shape[1]
    grouped = query.unflatten(1, (K, -1)) / query.shape[-1] ** 0.5
    weights = torch.einsum("bkgtd,bksd->bkgts", grouped, key).softmax(-1)
    return torch.einsum("bkgts,bksd->bkgtd", weights, value).flatten(1, 2)


@right("grouped_query")
def grouped_by_the_fused_kernel(query, key, value):
    return F.scaled_dot_product_attention(query, key, value, enable_gqa=True)


@right("grouped_query")
def grouped_by_copies(query, key, value):
    each = query.shape[1] // key.shape[1]
    key, value = (torch.stack([heads] * each, 2).flatten(1, 2) for heads in (key, value))
    return F.scaled_dot_product_attention(query, key, value)


@wrong("grouped_query", "take-turns")
def grouped_by_remainder(query, key, value):
    shared = [h % key.shape[1] for h in range(query.shape[1])]
    return F.scaled_dot_product_attention(query, key[:, shared], value[:, shared])


@wrong("grouped_query", "values-take-turns")
def grouped_two_ways(query, key, value):
    each = query.shape[1] // key.shape[1]
    keys = key.repeat_interleave(each, dim=1)
    return F.scaled_dot_product_attention(query, keys, torch.cat([value] * each, 1))


@wrong("grouped_query", "first-head-for-all")
def grouped_on_the_first(query, key, value):
    return F.scaled_dot_product_attention(query, key[:, :1], value[:, :1])


@wrong("grouped_query", "averaged")
def grouped_by_means(query, key, value):
    key, value = key.mean(1, keepdim=True), value.mean(1, keepdim=True)
    weights = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
    return weights @ value


@wrong("grouped_query", "not-repeated")
def grouped_as_it_comes(query, key, value):
    weights = torch.softmax(torch.matmul(query, key.mT) / query.shape[-1] ** 0.5, dim=-1)
    return torch.matmul(weights, value)


@wrong("grouped_query", "no-scale")
def grouped_without_a_scale(query, key, value):
    return F.scaled_dot_product_attention(query, key, value, scale=1.0, enable_gqa=True)


# No wrong answer gets through: (function, change) that leaves the result as it was, and why

EQUIVALENT = {
    (
        "split_heads",
        "x.view(B, T, H, D // H).transpose(1, 2) → x.view(B, T, H, D // H).transpose(2, 1)",
    ): "the same swap",
    ("merge_heads", "heads.transpose(1, 2) → heads.transpose(2, 1)"): "the same swap",
}
MANY_RIGHT = ()
