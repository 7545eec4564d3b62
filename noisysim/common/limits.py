"""Limits of numbers that several parts check."""

from __future__ import annotations

from noisysim.common.fields import Field

SEED = Field("", 0, 2**63 - 1, "of fabrication and noise", whole=True)
CHIPS = Field("", 1, 1 << 16, "chips simulated at once", whole=True)
CALIBRATION = Field("samples", 0, 4096, "training samples by which chips are calibrated", whole=True)
THREADS = Field("", 1, 4096, "threads to use", whole=True)
