"""Losses of rows to one number a target, and those to gradients."""
