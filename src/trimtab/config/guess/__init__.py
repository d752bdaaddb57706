"""Guesses about an unknown log, from names, types and values; ``trimtab init`` writes them down."""
