"""Where a lesson's answers are collected for test_exercises.py.

RIGHT: (exercise, function) · WRONG: (exercise, mistake, function). Beside them each file has
EQUIVALENT: {(function, change): why the changed function is as right}, and MANY_RIGHT: exercises
with so many right answers that only their reference is mutated.
"""


def collect():
    RIGHT, WRONG = [], []

    def right(exercise):
        def keep(function):
            RIGHT.append((exercise, function))
            return function

        return keep

    def wrong(exercise, *mistakes):
        def keep(function):
            WRONG.extend((exercise, mistake, function) for mistake in mistakes)
            return function

        return keep

    return RIGHT, WRONG, right, wrong
