"""The exercises of lesson 04."""

from transformer_lab.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
