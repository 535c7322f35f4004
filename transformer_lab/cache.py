"""Keys and values of earlier positions, kept while a text is written."""

from torch import Tensor


class KeyValueCache:
    """Keys and values that need not be computed again: up to max_len positions of one attention."""

    def __init__(self, max_len: int) -> None:
        self.max_len, self.length = max_len, 0
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add (B, K, T, d) behind what is there, and return all of it: (B, K, S, d) twice.

        Raises ValueError when more than max_len positions would be held.
        """
        if self._keys is not None and len(self._keys) != len(key):
            raise ValueError(f"the cache holds {len(self._keys)} rows, got {len(key)}")
        end = self.length + key.shape[2]
        if end > self.max_len:
            raise ValueError(f"the cache holds max_len={self.max_len} positions, not {end}")
        if self._keys is None or self._values is None:
            B, K, _, d = key.shape
            self._keys = key.new_empty(B, K, self.max_len, d)
            self._values = value.new_empty(B, K, self.max_len, d)
        self._keys.narrow(2, self.length, key.shape[2]).copy_(key)
        self._values.narrow(2, self.length, key.shape[2]).copy_(value)
        self.length = end
        return self.held()

    def held(self) -> tuple[Tensor, Tensor]:
        """What is there: (B, K, S, d) twice. Raises ValueError when nothing is."""
        if self._keys is None or self._values is None:
            raise ValueError("the cache is empty: nothing has run through it yet")
        return self._keys.narrow(2, 0, self.length), self._values.narrow(2, 0, self.length)

    def reorder(self, rows: Tensor) -> None:
        """Row b continues what row rows[b] held: (B,) whole numbers, for beam search."""
        if self._keys is not None and self._values is not None:
            held = self.held()
            if len(rows) != len(self._keys):
                size = (len(rows), *self._keys.shape[1:])
                self._keys, self._values = held[0].new_empty(size), held[1].new_empty(size)
            for kept, old in zip(self.held(), held, strict=True):
                kept.copy_(old[rows])
