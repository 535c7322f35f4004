"""Things to hold in your hand: one class per instrument, the browser's half in `view/`.

An instrument takes numbers, not a model, unless it has to run the model again, as the head desk
does. It runs in Jupyter, prints a sentence where there is no browser, leaves a picture where there
is no kernel, and exports itself as one offline page.
"""
