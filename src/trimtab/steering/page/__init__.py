"""The steering page: one HTML file on which weights are moved and their effect is seen at once."""

from trimtab.steering.page.write import render, write

__all__ = ["render", "write"]
