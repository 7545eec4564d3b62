"""Measurements: speed, and the papers' figures and tables. They use the public API only."""
