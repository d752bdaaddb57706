"""Predictions in, numbers and intervals out.

How well a model orders, how well it is calibrated, and how sure one may be of either: metrics over
all rows and within users, user-bootstrap intervals for each, and paired differences between models.
"""
