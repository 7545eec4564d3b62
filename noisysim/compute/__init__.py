"""What is computed, and by whom: operations, observations, noise, threads, and the backends `cpu` and `cuda`."""
