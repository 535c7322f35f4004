"""Lesson 09: right answers in several styles, and its mistakes as another hand writes them."""

from answers import collect

RIGHT, WRONG, right, wrong = collect()

EQUIVALENT = {}
MANY_RIGHT = ()
