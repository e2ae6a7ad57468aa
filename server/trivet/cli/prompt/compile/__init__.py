"""`trivet prompt compile`: the next version of a prompt, searched for by DSPy's and GEPA's optimisers."""
