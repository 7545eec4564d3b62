"""Figures, and reports: a run or a study as one HTML page."""
