"""The map of the course: what it shows is what the model holds, and every lesson is linked."""

import re

import pytest
from hypothesis import given, settings
from test_architecture import PACKAGE
from test_counting import models

from transformer_lab.config import ModelConfig
from transformer_lab.counting import PRESETS, formula
from transformer_lab.course_map import course_map, stacks
from transformer_lab.presets import KINDS

LESSON = PACKAGE.parent / "notebooks" / "source" / "09_counting_parameters.py"
SMALL = ModelConfig(25, 64, 4, 2)


def texts(picture):
    return [text.get_text() for text in picture.figure.axes[0].texts]


@settings(max_examples=200, deadline=None)
@given(models())
def test_the_parts_together_hold_what_the_formula_says(model):
    config, kind, source = model
    total = 0
    for stack in stacks(config, kind, source):
        once = sum(part.count for part in stack.before + stack.after)
        total += once + config.n_layers * sum(part.count + norm for part, norm in stack.layer)
    assert total == formula(config, kind, source).total


@pytest.mark.parametrize("name", ["gpt2", "bert-base", "transformer-base"])
def test_every_part_is_drawn_with_its_count_and_told_in_words(name):
    preset = PRESETS[name]
    picture = course_map(preset)
    drawn = texts(picture)
    for stack in stacks(preset):
        blocks = [part for part, _ in stack.layer]
        for part in (*stack.before, *blocks, *stack.after):
            assert part.name in drawn
            assert f"{part.count:,}" in drawn
            assert f"{part.name}: {part.purpose} ({part.count:,}" in picture.alt
    assert f"Together {formula(preset).total:,}." in picture.alt


def order(config):
    """Heights of the first attention's box and of its norm."""
    found = {
        t.get_text(): t.get_position()[1] for t in course_map(config).figure.axes[0].texts[::-1]
    }
    return found["Masked self-attention"], found["Norm"]


def test_the_norm_is_drawn_where_the_model_has_it():
    attention, norm = order(SMALL)
    assert norm < attention  # y grows downwards
    attention, norm = order(ModelConfig(25, 64, 4, 2, norm="post"))
    assert norm > attention


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_translator_has_cross_attention_and_only_what_writes_a_head(kind):
    drawn = texts(course_map(SMALL, kind))
    assert drawn.count("Cross-attention") == (kind == "encoder-decoder")
    assert drawn.count("Output head") == (kind != "encoder")
    assert drawn.count("Last norm") == 1 + (kind == "encoder-decoder")


def test_nothing_is_drawn_beyond_the_edge():
    for name in ("gpt2", "bert-large", "transformer-big", "llama-2-70b"):
        figure = course_map(PRESETS[name]).figure
        figure.draw_without_rendering()
        width, height = figure.bbox.size
        for text in figure.axes[0].texts:
            box = text.get_window_extent()
            assert 0 <= box.x0 < box.x1 <= width
            assert 0 <= box.y0 < box.y1 <= height


def test_lesson_09_links_every_lesson_of_the_map():
    config, source = ModelConfig(25, 64, 4, 2), LESSON.read_text(encoding="utf-8")
    alt = course_map(config, "encoder-decoder").alt
    named = set(re.findall(r"\b0\d\b", alt)) - {"09"}
    linked = set(re.findall(r"\]\((0\d)_\w+\.ipynb\)", source))
    assert named | {"01"} == linked
    assert named == {"00", "02", "03", "04", "05", "06", "07", "08"}
