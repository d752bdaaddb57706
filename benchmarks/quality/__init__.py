"""What `quality.py` is made of: datasets, systems, trials, scores, and the report of them."""
