"""recording.py: the weights that ran, and a model that does not notice."""

import pytest
import torch
from shaking import shake
from torch import Tensor, nn

from transformer_lab.config import ModelConfig
from transformer_lab.decoding import generate
from transformer_lab.models import EncoderDecoder, LanguageModel, TextEncoder
from transformer_lab.recording import (
    patch,
    record_attention,
    record_heads,
    record_stream,
    silence_heads,
)


@pytest.fixture
def model() -> TextEncoder:
    return TextEncoder(ModelConfig(20, d_model=16, pad_id=0))


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_the_output_while_recording_is_bit_identical(model: TextEncoder) -> None:
    ids = torch.randint(0, 20, (3, 7))
    before = model(ids)
    with record_attention(model) as weights:
        during = model(ids)
    assert torch.equal(before, during)
    assert list(weights) == ["layers.0.attention", "layers.1.attention"]
    assert weights["layers.0.attention"].shape == (3, 4, 7, 7)


def test_the_recorded_weights_rebuild_the_output(model: TextEncoder) -> None:
    """weights @ value, through the output map, is what the module returned."""
    ids = torch.randint(1, 20, (2, 5))
    ids[0, 3:] = 0
    seen = {}
    attention = model.layers[0].attention
    handle = attention.register_forward_hook(lambda _m, args, out: seen.update(x=args[0], y=out))
    with record_attention(model) as weights:
        model(ids)
    handle.remove()
    _, value = attention.keys_values(seen["x"])
    mixed = weights["layers.0.attention"] @ value
    rebuilt = attention.output(mixed.transpose(1, 2).flatten(2))
    torch.testing.assert_close(rebuilt, seen["y"], rtol=0, atol=1e-6)


def test_the_recorded_mask_is_the_one_that_ran(model: TextEncoder) -> None:
    ids = torch.tensor([[5, 6, 7, 0, 0]])
    with record_attention(model) as weights:
        model(ids)
    for table in weights.values():
        assert torch.equal(table[..., 3:], torch.zeros(1, 4, 5, 2))
        torch.testing.assert_close(table.sum(-1), torch.ones(1, 4, 5))


def test_weights_are_recorded_before_dropout() -> None:
    model = TextEncoder(ModelConfig(20, d_model=16, dropout=0.5)).train()
    with record_attention(model) as weights:
        model(torch.randint(0, 20, (2, 6)))
    torch.testing.assert_close(weights["layers.1.attention"].sum(-1), torch.ones(2, 4, 6))


def test_cross_attention_is_recorded_with_both_lengths() -> None:
    model = EncoderDecoder(ModelConfig(20, d_model=16, n_layers=1, pad_id=0))
    with record_attention(model) as weights:
        model(torch.randint(1, 20, (2, 7)), torch.randint(1, 20, (2, 4)))
    shapes = {name: tuple(table.shape) for name, table in weights.items()}
    assert shapes == {
        "encoder.0.attention": (2, 4, 7, 7),
        "decoder.0.attention": (2, 4, 4, 4),
        "decoder.0.cross_attention": (2, 4, 4, 7),
    }


def test_hooks_are_gone_after_an_error_and_nothing_stays_on_the_model(model: TextEncoder) -> None:
    before = {name: set(vars(m)) for name, m in model.named_modules()}
    with pytest.raises(KeyError), record_attention(model):
        model(torch.ones(1, 3).long())
        raise KeyError("the learner's own mistake")
    assert hooks(model) == 0
    assert {name: set(vars(m)) for name, m in model.named_modules()} == before


def test_recordings_nest(model: TextEncoder) -> None:
    first, second = torch.tensor([[1, 2, 3]]), torch.tensor([[4, 5]])
    with record_attention(model) as outer:
        model(first)
        with record_attention(model) as inner:
            model(second)
        model(first)
    assert inner["layers.0.attention"].shape[-1] == 2
    assert outer["layers.0.attention"].shape[-1] == 3


@pytest.mark.parametrize("record", [record_attention, record_heads, record_stream])
def test_what_was_recorded_holds_no_graph(model: TextEncoder, record) -> None:
    with record(model) as found:
        assert model(torch.ones(1, 3).long()).requires_grad
    assert not any(tensor.requires_grad for tensor in found.values())


POSITIONS = ["sinusoidal", "learned", "rotary", "alibi", "none"]


def languages(**changes) -> LanguageModel:
    sizes = {"d_model": 16, "n_layers": 3, "n_kv_heads": 2, **changes}
    return shake(LanguageModel(ModelConfig(20, **sizes)))


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("padded", [False, True])
def test_weights_and_values_rebuild_what_each_head_found(positions: str, padded: bool) -> None:
    model = languages(positions=positions)
    ids, mask = torch.randint(0, 20, (2, 6)), torch.ones(2, 6, dtype=torch.bool)
    mask[0, :3] = not padded
    attention, seen = model.layers[1].attention, {}
    handle = attention.register_forward_hook(lambda _m, args, _out: seen.update(x=args[0]))
    with record_attention(model) as weights, record_heads(model) as heads:
        model(ids, mask if padded else None)
    handle.remove()
    table = weights["layers.1.attention"]
    assert torch.equal(table, table.tril())
    assert bool((table[0, ..., :3] == 0).all()) is padded
    _, value = attention.keys_values(seen["x"])
    rebuilt = table @ attention.shared(value)
    torch.testing.assert_close(rebuilt, heads["layers.1.attention"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("positions", POSITIONS)
def test_with_a_cache_the_recorded_rows_are_those_of_a_full_run(positions: str) -> None:
    model = languages(positions=positions)
    ids, cache = torch.randint(0, 20, (2, 6)), model.new_cache()
    with record_attention(model) as full, record_stream(model) as states:
        model(ids)
    for start, end in ((0, 3), (3, 4), (4, 6)):
        with record_attention(model) as part, record_stream(model) as stream:
            model(ids[:, start:end], cache=cache)
        for name, table in part.items():
            expected = full[name][:, :, start:end, :end]
            torch.testing.assert_close(table, expected, rtol=0, atol=1e-12)
        for name, state in stream.items():
            torch.testing.assert_close(state, states[name][:, start:end], rtol=0, atol=1e-12)


def test_cached_cross_attention_is_recorded_too() -> None:
    model = shake(EncoderDecoder(ModelConfig(20, d_model=16, pad_id=0)))
    source, target = torch.randint(1, 20, (2, 5)), torch.randint(1, 20, (2, 3))
    source[0, 3:] = 0
    with record_attention(model) as full:
        model(source, target)
    states, mask, cache = model.encode(source), model.source_mask(source), model.new_cache(5)
    for t in range(3):
        with record_attention(model) as step:
            model.decode(target[:, t : t + 1], states, mask, cache)
        assert not any(name.startswith("encoder") for name in step)
        for name, table in step.items():
            expected = full[name][:, :, t : t + 1, : table.shape[-1]]
            torch.testing.assert_close(table, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_stream_is_what_each_part_adds_to(norm: str) -> None:
    model = shake(EncoderDecoder(ModelConfig(20, d_model=16, norm=norm)))
    source, target = torch.randint(0, 20, (2, 5)), torch.randint(0, 20, (2, 3))
    with record_stream(model, after_attention=True) as stream:
        logits = model(source, target)
    assert list(stream) == [
        "target_embedding",  # shared with the source: its last run is the target
        *(f"encoder.{i}{part}" for i in (0, 1) for part in (".after_attention", "")),
    ] + [
        f"decoder.{i}{part}"
        for i in (0, 1)
        for part in (".after_attention", ".after_cross_attention", "")
    ]
    assert torch.equal(model.head(model.decoder_norm(stream["decoder.1"])), logits)
    layer, before = model.decoder[1], stream["decoder.0"]
    memory = model.encoder_norm(stream["encoder.1"])
    parts = {
        "decoder.1.after_attention": (
            lambda x: layer.attention(x, causal=True),
            layer.attention_norm,
        ),
        "decoder.1.after_cross_attention": (
            lambda x: layer.cross_attention(x, memory),
            layer.cross_attention_norm,
        ),
        "decoder.1": (layer.feed_forward, layer.feed_forward_norm),
    }
    for name, (part, normed) in parts.items():
        after = before + part(normed(before)) if norm == "pre" else normed(before + part(before))
        torch.testing.assert_close(stream[name], after, rtol=0, atol=1e-12)
        before = stream[name]


def test_a_layer_alone_has_a_stream_too() -> None:
    model = languages()
    x = torch.randn(1, 4, 16, dtype=torch.float64)
    with record_stream(model.layers, after_attention=True) as stream:
        out = model.layers[2](x)
    assert list(stream) == ["2.after_attention", "2"]
    assert torch.equal(stream["2"], out)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_silenced_attention_adds_its_output_bias_only(norm: str) -> None:
    model = languages(norm=norm)
    ids = torch.randint(0, 20, (2, 5))
    with silence_heads(model, {1: range(4)}):
        silent = model(ids)
    layer = model.layers[1]
    layer.attention.forward = lambda *_, **__: layer.attention.output.bias
    torch.testing.assert_close(silent, model(ids), rtol=0, atol=1e-12)
    del layer.attention.forward
    assert (silent - model(ids)).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["encoder.1.attention", "decoder.0.attention",
                                  "decoder.1.cross_attention"])  # fmt: skip
@pytest.mark.parametrize("heads", [[0], [2], [3, 1]])
def test_silencing_heads_is_zeroing_their_columns_of_the_output_map(name: str, heads) -> None:
    model = EncoderDecoder(ModelConfig(20, d_model=16, n_kv_heads=2))
    source, target = torch.randint(0, 20, (2, 5)), torch.randint(0, 20, (2, 3))
    before = model(source, target)
    with silence_heads(model, {name: heads}):
        silent = model(source, target)
    weight = model.get_submodule(name).output.weight
    with torch.no_grad():
        for head in heads:
            weight[:, 4 * head : 4 * head + 4] = 0.0
    torch.testing.assert_close(silent, model(source, target), rtol=0, atol=1e-6)
    assert not torch.allclose(silent, before)


def test_silence_holds_while_a_text_is_written_with_a_cache() -> None:
    model = languages(positions="rotary")
    start = torch.randint(0, 20, (2, 3))
    with silence_heads(model, {0: [1], "layers.2.attention": [0, 3]}):
        cached, plain = generate(model, start, 8), generate(model, start, 8, cache=False)
    assert torch.equal(cached, plain)
    assert not torch.equal(cached, generate(model, start, 8))


@pytest.mark.parametrize(
    "site",
    [
        "embedding",
        "layers.0",
        "layers.2",
        "layers.1.attention",
        "layers.1.feed_forward",
        "layers.1.attention.heads.3",
    ],
)
@pytest.mark.parametrize("position", [None, 2])
def test_a_patch_puts_the_other_runs_numbers_in_place(site: str, position: int | None) -> None:
    """Its own numbers change nothing; another text's change everything behind them."""
    model = languages()
    ids, other = torch.randint(0, 20, (2, 5)), torch.randint(0, 20, (2, 5))
    seen: dict[str, Tensor] = {}

    def run(tokens: Tensor) -> Tensor:
        layer = model.layers[1]
        handles = [
            getattr(layer, part).register_forward_hook(
                lambda _m, _a, out, part=part: seen.update({f"layers.1.{part}": out.detach()})
            )
            for part in ("attention", "feed_forward")
        ]
        with record_stream(model) as stream, record_heads(model) as heads:
            out = model(tokens)
        for handle in handles:
            handle.remove()
        seen.update(stream, **{"layers.1.attention.heads.3": heads["layers.1.attention"][:, 3]})
        return out

    def chosen(tensor: Tensor) -> Tensor:
        return tensor if position is None else tensor[:, position]

    theirs = run(other)
    there = chosen(seen[site])
    ours = run(ids)
    with patch(model, {site: (position, chosen(seen[site]))}):
        assert torch.equal(model(ids), ours)
    with patch(model, {site: (position, there)}):
        out = model(ids)
    moved = (out - ours).abs().amax((0, 2))
    first = position or 0
    assert torch.equal(moved[:first], torch.zeros_like(moved[:first]))
    assert moved[first] > 1e-4
    if position is None and site in ("embedding", "layers.0", "layers.2"):
        assert torch.equal(out, theirs)


def test_a_position_counts_from_the_beginning_of_a_cached_text() -> None:
    model = languages(positions="alibi")
    ids, value = torch.randint(0, 20, (2, 6)), torch.randn(16).double()
    for position in range(6):
        changes = {"layers.0": (position, value), "layers.1.attention.heads.0": (2, value[:4])}
        with patch(model, changes):
            expected = model(ids)
        cache = model.new_cache()
        with patch(model, changes):
            parts = [model(part, cache=cache) for part in ids.split([3, 1, 2], 1)]
        torch.testing.assert_close(torch.cat(parts, 1), expected, rtol=0, atol=1e-12)


def test_a_patch_with_zeros_silences_a_head() -> None:
    model, ids = languages(), torch.randint(0, 20, (2, 5))
    with silence_heads(model, {1: [2]}):
        expected = model(ids)
    with patch(model, {"layers.1.attention.heads.2": (None, torch.zeros(4))}):
        assert torch.equal(model(ids), expected)


def test_gradients_reach_what_was_patched_in_and_what_was_not() -> None:
    model, ids = languages(), torch.randint(0, 20, (2, 5))
    value = torch.randn(2, 16, dtype=torch.float64, requires_grad=True)
    with patch(model, {"layers.0": (4, value)}):
        model(ids)[:, -1].square().sum().backward()
    assert value.grad is not None
    assert value.grad.abs().min() > 0
    model.zero_grad()
    with patch(model, {"layers.1.attention.heads.2": (None, torch.zeros(4))}):
        model(ids).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    model.zero_grad()
    with silence_heads(model, {1: [0]}):
        model(ids).square().sum().backward()
    gradient = model.layers[1].attention.output.weight.grad
    assert torch.equal(gradient[:, :4], torch.zeros(16, 4))
    assert gradient[:, 4:].abs().min() > 0


def test_blocks_nest_and_a_recording_sees_every_change() -> None:
    """Whichever was opened first; of two patches of the same numbers the outer one holds."""
    model, ids = languages(), torch.randint(0, 20, (2, 5))
    one, two = torch.ones(16).double(), 2 * torch.ones(16).double()
    with (
        record_stream(model) as outer,
        record_heads(model) as heads,
        patch(model, {"layers.0": (None, one)}),
        silence_heads(model, {2: [1]}),
        patch(model, {"layers.0": (1, two), "layers.1": (1, two)}),
        record_stream(model) as inner,
    ):
        model(ids)
    assert (outer["layers.0"] == 1).all()
    assert (outer["layers.1"][:, 1] == 2).all()
    assert (outer["layers.1"][:, 0] != 2).all()
    assert all(torch.equal(outer[name], inner[name]) for name in outer)
    assert (heads["layers.2.attention"][:, 1] == 0).all()
    assert (heads["layers.2.attention"][:, 0] != 0).all()
    assert hooks(model) == 0
    with silence_heads(model, {0: [0]}), silence_heads(model, {0: [1]}):
        both = model(ids)
    with silence_heads(model, {0: [0, 1]}):
        assert torch.equal(model(ids), both)


BLOCKS = {
    "record_attention": record_attention,
    "record_heads": record_heads,
    "record_stream": lambda model: record_stream(model, after_attention=True),
    "silence_heads": lambda model: silence_heads(model, {0: [1]}),
    "patch": lambda model: patch(model, {"layers.0": (0, torch.zeros(16))}),
}


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_leaves_the_model_as_it_was(block: str) -> None:
    model, ids = languages(dropout=0.1), torch.randint(0, 20, (2, 5))
    before = {name: dict(vars(m)) for name, m in model.named_modules()}
    out = model(ids)
    with BLOCKS[block](model):
        assert torch.equal(model(ids), out) is block.startswith("record")
        model.train()
        torch.manual_seed(1)
        during = model(ids)
    torch.manual_seed(1)
    assert torch.equal(model(ids), during) is block.startswith("record")
    model.eval()
    with pytest.raises(KeyError), BLOCKS[block](model):
        raise KeyError("the learner's own mistake")
    assert torch.equal(model(ids), out)
    assert hooks(model) == 0
    assert {name: dict(vars(m)) for name, m in model.named_modules()} == before


@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_in_which_nothing_happened_is_an_error(block: str) -> None:
    model = languages()
    with pytest.raises(RuntimeError, match=r"nothing .*before compiling"), BLOCKS[block](model):
        pass
    compiled, ids = torch.compile(model, backend="eager"), torch.randint(0, 20, (2, 5))
    compiled(ids)
    with pytest.raises(RuntimeError, match=r"nothing .*before compiling"), BLOCKS[block](model):
        compiled(ids)
    assert hooks(model) == 0


def test_a_position_that_was_never_reached_is_an_error() -> None:
    model = languages()
    changes = {"layers.0": (2, torch.ones(16)), "layers.1": (3, torch.ones(16))}
    with pytest.raises(RuntimeError, match=r"nothing reached layers\.1:"), patch(model, changes):
        model(torch.ones(1, 3).long())
    translator = EncoderDecoder(ModelConfig(20))
    silent = silence_heads(translator, {"decoder.0.attention": [0]})
    with pytest.raises(RuntimeError, match=r"nothing reached decoder\.0\.attention:"), silent:
        translator.encode(torch.ones(1, 3).long())


def test_no_change_at_all_is_no_error() -> None:
    model, ids = languages(), torch.ones(1, 3).long()
    with patch(model, {}), silence_heads(model, {}), silence_heads(model, {0: []}):
        out = model(ids)
    assert torch.equal(out, model(ids))


@pytest.mark.parametrize(
    ("block", "kind", "said"),
    [
        (lambda m: silence_heads(m, {3: [0]}), ValueError, r"layers\.0\.attention, .*got 3"),
        (lambda m: silence_heads(m, {"layers.0": [0]}), ValueError, r"got 'layers\.0'"),
        (lambda m: silence_heads(m, {0: [4]}), ValueError, r"0\.\.3, got \[4\]"),
        (lambda m: silence_heads(m, {0: [-1]}), ValueError, r"got \[-1\]"),
        (lambda m: silence_heads(m, {0: 1}), ValueError, r"layers\.0\.attention.*got 1"),
        (lambda m: patch(m, {"layer": (0, torch.ones(16))}), ValueError,
         r"embedding, layers\.0, .*layers\.2\.attention\.heads\.3, got 'layer'"),
        (lambda m: patch(m, {"layers.0": torch.ones(2, 16)}), TypeError, "position or None"),
        (lambda m: patch(m, {"layers.0": (0, 1.0)}), TypeError, "position or None"),
        (lambda m: patch(m, {"layers.0": (-1, torch.ones(16))}), ValueError, "from 0, got -1"),
        (lambda m: patch(m, {"layers.0": (1.5, torch.ones(16))}), ValueError, "got 1.5"),
        (lambda m: patch(m, {"layers.0": (0, torch.ones(4))}), ValueError,
         r"\(2, 16\) or \(16,\), got \(4,\)"),
        (lambda m: patch(m, {"layers.0": (0, torch.ones(3, 16))}), ValueError, r"got \(3, 16\)"),
        (lambda m: patch(m, {"layers.0": (None, torch.ones(2, 16))}), ValueError,
         r"\(2, 5, 16\) or \(16,\), got \(2, 16\)"),
        (lambda m: patch(m, {"layers.0.attention.heads.0": (0, torch.ones(16))}), ValueError,
         r"\(2, 4\) or \(4,\), got \(16,\)"),
        (lambda m: patch(m, {"layers.0": (0, torch.ones(()))}), ValueError, r"got \(\)"),
    ],
)  # fmt: skip
def test_a_change_that_does_not_fit_is_named(block, kind: type[Exception], said: str) -> None:
    model = languages()
    with pytest.raises(kind, match=said), block(model):
        model(torch.ones(2, 5).long())
    assert hooks(model) == 0


@pytest.mark.parametrize("block", BLOCKS)
def test_a_module_without_the_parts_is_named(block: str) -> None:
    with pytest.raises(ValueError, match="Linear holds no"), BLOCKS[block](nn.Linear(2, 2)):
        pass
