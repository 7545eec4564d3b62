"""What the gate leaves to ``pytest --thorough`` (``make thorough``): the rest of products of parameters.

``@pytest.mark.covering(1)`` on a test of several parameters keeps so few of their combinations that every value of each
is in one; ``covering(2)``, that every two values of two parameters meet. It says why no more is needed. What is asked
for by name or expression is covered in itself: ``pytest FILE::test[one]`` runs that one, and so does ``-k``.
``@pytest.mark.thorough`` leaves out a whole test, or one value (``pytest.param(..., marks=...)``).
"""

from collections import defaultdict

import pytest

from pairwise import covering


def gate(items):
    """The tests of the gate among those collected, in their order."""
    products = defaultdict(list)
    kept = set()
    for item in items:
        mark = item.get_closest_marker("covering")
        if item.get_closest_marker("thorough"):
            continue
        if mark is None:
            kept.add(item)
        else:  # tests for a GPU are skipped elsewhere: they stand for no others
            gpu = item.get_closest_marker("gpu") is not None
            (together,) = mark.args
            products[item.parent.nodeid, item.originalname, gpu, together].append(item)
    for (*_, together), product in products.items():
        kept.update(product[k] for k in covering([*map(values, product)], together))
    return [item for item in items if item in kept]


def some(values, kept):
    """Values of a parameter, of which the gate takes those in `kept`."""
    return [v if v in kept else pytest.param(v, marks=pytest.mark.thorough) for v in values]


def values(item):
    """Which value each parameter of a test has, as objects' numbers; names given together are one parameter."""
    given = {name: id(value) for name, value in item.callspec.params.items()}
    for mark in item.iter_markers("parametrize"):
        names = mark.args[0]
        names = [name.strip() for name in names.split(",")] if isinstance(names, str) else names
        given[" ".join(names)] = tuple(given.pop(name) for name in names)
    return given
