"""The exercises of lesson 06."""

from transformer_lab.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
