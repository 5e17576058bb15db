"""Choosing: search over fields, cross-validation, and what a machine can take.

Optuna does the searching. What this room adds is that the same seed gives the same
trials, however many run at once and however often the command was killed.
"""
