"""Exercises that know your mistake: check, hint, reveal, progress, and the CATALOG of them all.

One file per lesson holds its exercises. `engine.py` checks an answer, `diagnose.py` recognises
mistakes that fit any exercise, `sandbox.py` keeps the kernel alive, `learner.py` has the functions
below. How to add an exercise: copy one in `lesson02.py`; the tests tell what is missing.
"""

from transformer_lab.exercises.learner import CATALOG, check, hint, progress, reveal
from transformer_lab.exercises.verdict import ExerciseFailed, Verdict

__all__ = ["CATALOG", "ExerciseFailed", "Verdict", "check", "hint", "progress", "reveal"]
