"""Text to token ids and back."""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor


class FileTokenizer:
    """The tokenizer that came with a model, read from its tokenizer.json."""

    def __init__(self, path: Path, name: str, max_len: int) -> None:
        self.name, self.max_len = name, max_len
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def tokens(self, text: str) -> list[str]:
        """The pieces that the model reads, special tokens included."""
        return self._encode(text).tokens

    def __call__(self, texts: str | Sequence[str]) -> tuple[Tensor, Tensor]:
        """One text or several -> token ids (B, T) and mask (B, T), True = real, False = padding.

        Raises ValueError for no text at all, TypeError for what is not text, ValueError for a text
        with more than max_len tokens: nothing is cut off in silence.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        if not texts:
            raise ValueError("texts must hold at least one text, got none")
        ids = [self._encode(text).ids for text in texts]
        longest = max(map(len, ids))
        padded = torch.zeros(len(ids), longest, dtype=torch.long)
        mask = torch.zeros(len(ids), longest, dtype=torch.bool)
        for row, line in enumerate(ids):
            padded[row, : len(line)] = torch.tensor(line)
            mask[row, : len(line)] = True
        return padded, mask

    def _encode(self, text: str):  # type: ignore[no-untyped-def]  # tokenizers ships no types
        if not isinstance(text, str):
            raise TypeError(f"a text must be a str, got {type(text).__name__}: {text!r}")
        encoded = self._tokenizer.encode(text)
        if len(encoded.ids) > self.max_len:
            raise ValueError(
                f"the text has {len(encoded.ids)} tokens, {self.name} reads at most {self.max_len}"
            )
        return encoded
