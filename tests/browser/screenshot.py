"""Draw the README's picture again: python tests/browser/screenshot.py

The attention explorer's own page with the real encoder, one head chosen, in Chromium.
"""

import tempfile
from pathlib import Path

import torch
from playwright.sync_api import sync_playwright
from rigs import FLAGS, executable

from transformer_lab.checkpoints import load_pretrained
from transformer_lab.instruments.attention import AttentionExplorer
from transformer_lab.recording import record_attention

PICTURE = Path(__file__).parents[2] / "notebooks" / "explorer.png"
SENTENCE = "The cat sat on the mat because it was tired."

if __name__ == "__main__":
    model, tokenizer = load_pretrained("minilm")
    tokens = tokenizer.tokens(SENTENCE)
    with torch.no_grad(), record_attention(model) as weights:
        model(*tokenizer(SENTENCE))
    explorer = AttentionExplorer(
        weights, tokens, layer=5, head=11, query=tokens.index("it"), title="Who does “it” look at?"
    )
    path = executable()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "explorer.html"
        explorer.to_html(page_file)
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1100, "height": 860})
        page.goto(page_file.as_uri())
        page.wait_for_selector("canvas")
        page.wait_for_timeout(500)
        page.screenshot(path=PICTURE, full_page=True)
        browser.close()
    print(f"{PICTURE.name}: {PICTURE.stat().st_size:,} bytes")
