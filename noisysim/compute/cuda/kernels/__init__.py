"""Loops for GPUs: each thread does some elements, and no two the same."""
