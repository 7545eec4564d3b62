"""Combinations of settings in which every value of each meets every value of every other."""

import itertools
from collections import Counter


def pairwise(**ways):
    """Few dictionaries, of which every pair of values of two fields is in one; chosen greedily, always alike.

    Of k fields of two values and one of three these are 6 to 8, where all combinations are 3 * 2**k.
    """
    every = [dict(zip(ways, values, strict=True)) for values in itertools.product(*ways.values())]
    return [every[k] for k in covering(every, 2)]


def covering(combinations, together):
    """Places of few combinations in which any `together` values meet that meet in one of all.

    Chosen greedily, always alike; of those that add as much, the one whose values were chosen least.
    """
    met = [meetings(one, together) for one in combinations]
    chosen, missing, uses = [], set().union(*met), Counter()
    while missing:
        best = max(
            range(len(met)),
            key=lambda k: (len(met[k] & missing), -sum(uses[item] for item in combinations[k].items())),
        )
        chosen.append(best)
        missing -= met[best]
        uses.update(combinations[best].items())
    return chosen


def meetings(settings, together):
    """Each `together` of a combination's values; all of them, of one that has fewer."""
    items = sorted(settings.items())
    return set(itertools.combinations(items, min(together, len(items))))


def pairs(settings):
    """Each pair of a combination's values; of a single field its values."""
    return meetings(settings, 2)
