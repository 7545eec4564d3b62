"""Studies: many runs over a grid of arguments, done by the processes of this machine or of a cluster.

``grids`` says which runs are asked for, ``cells`` what each of them is, ``engine`` has them done, ``worker`` does them,
``table`` and ``journal`` keep what they found, `Study` shows it, ``tuning`` looks for learning rates.
"""
