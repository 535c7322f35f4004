"""models.py: equal to torch's stacks, and what every model must keep to."""

import math

import pytest
import torch
from shaking import shake
from torch import Tensor, nn

from transformer_lab.config import ModelConfig
from transformer_lab.models import EncoderDecoder, LanguageModel, TextEncoder
from transformer_lab.twins import copy_layer, torch_states

NORMS = pytest.mark.parametrize("norm", ["pre", "post"])


def small(**changes) -> ModelConfig:
    return ModelConfig(**{"vocab_size": 20, "d_model": 16, "max_len": 12, "pad_id": 0, **changes})


def tokens(*shape: int, low: int = 1) -> Tensor:
    return torch.randint(low, 20, shape)


@NORMS
def test_an_encoder_stack_equals_torchs(norm: str) -> None:
    ours = shake(TextEncoder(small(norm=norm)))
    ids = tokens(3, 8)
    ids[0, 5:] = 0
    expected = torch_states(ours, ids, ids != 0)
    torch.testing.assert_close(ours(ids), expected, rtol=0, atol=1e-10)


@NORMS
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")  # torch's own default
def test_an_encoder_decoder_equals_torchs(norm: str) -> None:
    ours = shake(EncoderDecoder(small(norm=norm, activation="relu"), source_vocab_size=30))
    theirs = nn.Transformer(
        16, 4, 2, 2, 64, dropout=0.0, batch_first=True, norm_first=norm == "pre"
    ).double()
    for stack, other in ((ours.encoder, theirs.encoder), (ours.decoder, theirs.decoder)):
        for mine, layer in zip(stack, other.layers, strict=True):
            copy_layer(mine, layer)
    for side in ("encoder", "decoder"):
        if norm == "pre":
            getattr(theirs, side).norm.load_state_dict(getattr(ours, f"{side}_norm").state_dict())
        else:
            getattr(theirs, side).norm = None  # nn.Transformer normalises once more; 2017 did not
    source, target = torch.randint(1, 30, (3, 9)), tokens(3, 5)
    source[1, 4:] = 0
    states = theirs(
        ours.source_embedding(source)[0],
        ours.target_embedding(target)[0],
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64),
        src_key_padding_mask=source == 0,
        memory_key_padding_mask=source == 0,
    )
    torch.testing.assert_close(ours(source, target), ours.head(states), rtol=0, atol=1e-10)


@NORMS
@pytest.mark.parametrize("kind", ["language", "decoder"])
def test_the_future_cannot_leak_into_the_past(norm: str, kind: str) -> None:
    """The Jacobian of every output by every later input vector is exactly 0."""
    model = (LanguageModel if kind == "language" else EncoderDecoder)(small(norm=norm))
    shake(model)
    ids = tokens(1, 6)
    embedding = model.embedding if kind == "language" else model.target_embedding
    vectors: list[Tensor] = []

    def keep(_module: nn.Module, _args: tuple, out: tuple) -> None:
        vectors.append(out[0].requires_grad_())

    embedding.register_forward_hook(keep)
    logits = (
        model(ids)
        if kind == "language"
        else model.decode(ids, torch.randn(1, 4, 16).double(), None)
    )
    for t in range(6):
        (gradient,) = torch.autograd.grad(
            logits[0, t].square().sum(), vectors[-1], retain_graph=True
        )
        reach = gradient[0].abs().sum(-1)
        assert torch.equal(reach[t + 1 :], torch.zeros(5 - t, dtype=torch.float64))
        assert (reach[: t + 1] > 0).all()


@pytest.mark.parametrize("kind", [TextEncoder, LanguageModel])
def test_samples_and_padding_do_not_touch_each_other(kind: type[nn.Module]) -> None:
    model = shake(kind(small()))
    ids = tokens(2, 7)
    ids[0, 4:] = 0
    changed = ids.clone()
    changed[1] = tokens(7)
    torch.testing.assert_close(model(ids)[0], model(changed)[0], rtol=0, atol=1e-12)
    longer = nn.functional.pad(ids, (0, 3))
    torch.testing.assert_close(model(longer)[0, :4], model(ids)[0, :4], rtol=0, atol=1e-12)
    torch.testing.assert_close(model(ids[:1, :4])[0], model(ids)[0, :4], rtol=0, atol=1e-12)


def test_padded_source_tokens_move_no_output() -> None:
    model = shake(EncoderDecoder(small()))
    source, target = tokens(1, 5), tokens(1, 4)
    longer = nn.functional.pad(source, (0, 4))
    torch.testing.assert_close(model(longer, target), model(source, target), rtol=0, atol=1e-12)


def test_without_positions_an_encoder_sees_a_set() -> None:
    model = shake(TextEncoder(small(positions="none")))
    ids, order = tokens(1, 6), torch.randperm(6)
    torch.testing.assert_close(model(ids[:, order]), model(ids)[:, order], rtol=0, atol=1e-12)
    waves = shake(TextEncoder(small()))
    assert (waves(ids[:, order]) - waves(ids)[:, order]).abs().max() > 1e-3


def test_a_mask_given_by_hand_replaces_the_padding_mask() -> None:
    model = shake(TextEncoder(small()))
    ids = tokens(2, 5)
    real = torch.tensor([[True, True, False, False, False], [True] * 5])
    padded = torch.where(real, ids, 0)
    torch.testing.assert_close(model(ids, mask=real)[0, :2], model(padded)[0, :2])
    pairs = torch.eye(5, dtype=torch.bool).expand(2, 5, 5)
    assert not torch.allclose(model(ids, mask=pairs), model(ids))


def test_an_untrained_language_model_knows_nothing_yet() -> None:
    model = LanguageModel(ModelConfig(vocab_size=500, d_model=64))
    ids = torch.randint(0, 500, (8, 65))
    loss = nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    assert loss.item() == pytest.approx(math.log(500), abs=0.1)


@pytest.mark.parametrize("tied", [True, False])
def test_a_tied_output_is_the_embedding_itself(tied: bool) -> None:
    for model in (
        LanguageModel(small(tie_embeddings=tied)),
        EncoderDecoder(small(tie_embeddings=tied)),
    ):
        embedding = model.embedding if isinstance(model, LanguageModel) else model.target_embedding
        assert (model.head.weight.data_ptr() == embedding.tokens.weight.data_ptr()) is tied


def test_a_shared_vocabulary_has_one_embedding() -> None:
    model = EncoderDecoder(small())
    assert model.source_embedding is model.target_embedding
    assert EncoderDecoder(small(), 30).source_embedding.tokens.num_embeddings == 30


@pytest.mark.parametrize(
    ("bad", "kind", "said"),
    [
        (torch.tensor([1, 2]), ValueError, r"\(2,\)"),
        (torch.ones(1, 2), ValueError, "float32"),
        (torch.ones(0, 3).long(), ValueError, r"\(0, 3\)"),
        (torch.ones(1, 0).long(), ValueError, r"\(1, 0\)"),
        (torch.tensor([[1, 20]]), ValueError, r"0\.\.19.*20"),
        (torch.tensor([[-1, 2]]), ValueError, r"0\.\.19.*-1"),
        (torch.ones(1, 13).long(), ValueError, "13.*max_len=12"),
    ],
)
def test_tokens_that_cannot_be_read_are_named(bad, kind: type[Exception], said: str) -> None:
    for model in (TextEncoder(small()), LanguageModel(small())):
        with pytest.raises(kind, match=said):
            model(bad)


def test_a_mask_of_the_wrong_shape_or_kind_is_named() -> None:
    model = TextEncoder(small())
    with pytest.raises(ValueError, match=r"\(2, 5\).*\(2, 5, 5\).*\(2, 4\)"):
        model(tokens(2, 5), mask=torch.ones(2, 4).bool())
    with pytest.raises(TypeError, match="int64"):
        model(tokens(2, 5), mask=torch.ones(2, 5).long())


def test_pooling_without_a_pooler_says_so() -> None:
    with pytest.raises(ValueError, match="pooler=False"):
        TextEncoder(small()).pool(torch.ones(1, 2, 16))
