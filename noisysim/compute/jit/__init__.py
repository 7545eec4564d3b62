"""Loops compiled for one device, and the cache of their machine code."""
