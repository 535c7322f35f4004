"""The exercises of lesson 07."""

from transformer_lab.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
