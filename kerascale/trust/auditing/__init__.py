"""Whom does it fail: metrics by group, calibration, and drift of new data."""
