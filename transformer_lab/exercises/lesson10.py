"""The exercises of lesson 10."""

from transformer_lab.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
