"""The exercises of lesson 09."""

from transformer_lab.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
