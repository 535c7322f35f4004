"""How a lesson looks as slides: pictures, questions and claims without their code, no prompts.

jupyter nbconvert --config notebooks/slides_config.py --to slides notebooks/02_attention.ipynb
"""

from nbconvert.preprocessors import Preprocessor

STYLE = "<style>.reveal :is(ul, ol) { display: block !important; }</style>"


class Shown(Preprocessor):
    """Hide the code of what speaks for itself; reveal.js sets lists into the running line."""

    def preprocess(self, lesson, resources):
        lesson.cells[0].source += f"\n\n{STYLE}"
        return super().preprocess(lesson, resources)

    def preprocess_cell(self, cell, resources, index):
        if any("text/html" in output.get("data", {}) for output in cell.get("outputs", [])):
            cell.metadata["transient"] = {"remove_source": True}
        return cell, resources


c = get_config()  # noqa: F821 — nbconvert gives it to a configuration
c.SlidesExporter.preprocessors = [Shown]
c.SlidesExporter.exclude_input_prompt = c.SlidesExporter.exclude_output_prompt = True
c.SlidesExporter.reveal_scroll = True  # for the few that are longer than the screen
c.SlidesExporter.reveal_width, c.SlidesExporter.reveal_height = "1080", "720"
