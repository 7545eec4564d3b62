"""A GPU measured in minutes: ``python -m benchmarks.gpu_short``."""
