"""Combinations of settings in which every value of each meets every value of every other."""

import itertools


def pairwise(**ways):
    """Few dictionaries, of which every pair of values of two fields is in one; chosen greedily, always alike.

    Of k fields of two values and one of three these are 6 to 8, where all combinations are 3 * 2**k.
    """
    every = [dict(zip(ways, values, strict=True)) for values in itertools.product(*ways.values())]
    chosen, missing = [], set().union(*map(pairs, every))
    while missing:
        chosen.append(max(every, key=lambda one: len(pairs(one) & missing)))
        missing -= pairs(chosen[-1])
    return chosen


def pairs(settings):
    """Each pair of a combination's values; of a single field its values."""
    items = sorted(settings.items())
    return set(itertools.combinations(items, min(2, len(items))))
