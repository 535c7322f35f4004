"""Transformer Lab: the package that the lessons build.

Start with `attention.py`: two functions and one class. `config.py`, `masks.py` and `positions.py`
feed it; `layers.py` and `models.py` stack it; `recording.py` looks inside while a model runs;
`checkpoints.py` loads real weights. `plots.py`, `instruments/` and `exercises/` serve the lessons.
Import from the modules: `from transformer_lab.attention import attention`.
"""

__version__ = "0.1.0"
