"""Things to hold in your hand: one class per instrument, the browser's half in `view/`.

An instrument takes numbers, never a model. It runs in Jupyter, prints a sentence where there is
no browser, leaves a picture where there is no kernel, and exports itself as one offline page.
"""
