"""Predictions to one order: fusion formulas, their effect, search, the front."""
