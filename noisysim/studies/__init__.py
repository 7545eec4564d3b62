"""Studies: many runs over a grid of arguments, done by the processes of this machine or of a cluster.

``grids`` says which runs are asked for, ``cells`` resolves each of them, ``engine`` runs them on workers (``dispatch``,
``worker``), ``table`` and ``journal`` keep their results, `Study` shows these, ``tuning`` searches for learning rates.
"""
