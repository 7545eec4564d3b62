"""Sources of read-outs that a careless analysis misreads, for tests/devices/test_device_files.py.

Run by any Python, ``python hook_table.py path/to/noisysim/common/source.py``, with nothing installed, it compares what
the analysis says with what the functions do, and prints each source of which the analysis misses something.
"""

import importlib.util
import itertools
import sys
import types

HEAD = "import math\nimport sys\nfrom builtins import locals as seen, vars as fields_of\n"
ARGUMENTS = ("i", "energy", "z", "u")
FIELDS = {"sigma": 0.5, "bias": 0.25}

# what follows "def readout(i, energy, z, u, d):", or whole lines where it begins with "def", "from" or "readout"
SOURCES = [
    "return i + d.sigma * z",
    "s = d.sigma; return z * 0.5 * s + i",
    "return i + (s := d.sigma) * z if d.sigma > 0 else i",
    "f = lambda a: a * z * 0.5; return i + f(d.sigma)",
    "\n    def inner(a):\n        return a * z\n    return i + inner(d.sigma)",
    "\n    def inner():\n        def deeper():\n            return z + u\n        return deeper()\n"
    "    return i + inner()",
    "return i + sum([z * k for k in (1.0, 2.0)])",
    "return i + sum(k * z for k in (d.sigma, u))",
    "return i + sum({k: z for k in (1, 2)}.values())",
    "return i + sum([k for k in (1.0, 2.0) if z > 0])",
    "return i + sum(z for z in (1.0, 2.0))",
    "return i + (lambda z: z * 2)(3.0)",
    "return i + (lambda a, k=z: a * k)(d.sigma)",
    "return i + (lambda *a: a[0])(z, u)",
    "return i + (lambda **a: a['x'])(x=z)",
    "return i + max(*(z, u))",
    "\n    def inner(a, *, k=z):\n        return a * k\n    return i + inner(d.sigma)",
    "e = d; return i + e.sigma * z",
    "e, w = d, z; return i + e.sigma * w",
    "(a, b), *c = (i, z), u, u; return a + b + c[0]",
    "return i + getattr(d, 'sigma') * z",
    "return i + getattr(d, 'sig' + 'ma') * z",
    "name = 'sigma'; return i + getattr(d, name) * z",
    "return i + getattr(d, ('bias', 'sigma')[1]) * z",
    "z *= d.sigma; return i + z",
    "i += z; return i",
    "z += 1.0; return i",
    "del z; return i",
    "del energy, u; return i + z",
    "z = 0.0; return i + z",
    "_ = z; return i",
    "return i + locals()['z']",
    "return i + seen()['z']",
    "return i + eval('z * d.sigma')",
    "return i + sys._getframe().f_locals['z']",
    "return i + fields_of(d)['sigma'] * z",
    "return float(f'{z}') + i",
    "return i + float(f'{d.sigma / 3:.{2 + (u > 0.5)}f}')",
    "\n    while z > 0:\n        return i + 1.0\n    return i",
    "\n    if u > 0.5: return i\n    return i + 1.0",
    "\n    for k in range(2 if z > 0 else 3):\n        i = i + 1.0\n    return i",
    "\n    try:\n        return i + 1 / (0 if z > 0 else 1)\n    except ZeroDivisionError:\n        return i",
    "\n    with_z = z\n    def inner():\n        nonlocal with_z\n        with_z = with_z + 1.0\n"
    "        return with_z\n    return i + inner()",
    "\n    class Local:\n        value = z\n    return i + Local.value",
    "return i + (z if False else u)",
    "return (z and 1.0) + i",
    "return i if not z > u else energy",
    "assert z < 9; return i",
    "return i if -1 < z < 1 else -i",
    "return i",
    "return i * d.bias",
    "return i + math.sqrt(energy) * z",
    "def helper(d):\n    return d.sigma\ndef readout(i, energy, z, u, d):\n    return i + helper(d) * z",
    "def helper(e):\n    x = e\n    return other(x)\ndef other(e):\n    return getattr(e, 'sigma')\n"
    "def readout(i, energy, z, u, d):\n    return i + helper(d) * z",
    "def helper(*a):\n    return a[0].sigma * a[1]\ndef readout(i, energy, z, u, d):\n    return i + helper(d, z)",
    "def make():\n    sigma = lambda e: e.sigma\n    def readout(i, energy, z, u, d):\n"
    "        return i + sigma(d) * z\n    return readout\nreadout = make()",
    "def make(k):\n    def readout(i, energy, z, u, d):\n        return i + k * z\n    return readout\n"
    "readout = make(2.0)",
    "readout = lambda i, energy, z, u, d: i + z",
    "readout, other = (lambda i, energy, z, u, d: i + z), (lambda i, energy, z, u, d: i)",
    "other, readout = (lambda i, energy, z, u, d: i), (lambda i, energy, z, u, d: i + z)",
    "readout = [\n    lambda i, energy, z, u, d: i,\n    lambda i, energy, z, u, d: i + z,\n][1]",
    "def readout(i, energy, z, u, d): return i\nquiet = readout\ndef readout(i, energy, z, u, d): return i + z",
    "from functools import partial\nreadout = (lambda f: f)(lambda i, energy, z, u, d: i + d.sigma * z)",
    'def readout(i, energy, z, u, d):\n    """Text\nthat is not indented."""\n    return i + z',
    "def readout(\n    i,\n    energy, z,  # a comment with (\n    u, d,\n):\n"
    "    return (\n        i\n        + z\n    )",
    "def readout(i: float, energy: 'x', z: float, u, d) -> float:\n    y: float = z\n    return i + y",
]
UNUSED = {
    "return i": {"energy", "z", "u"},
    "return i * d.bias": {"energy", "z", "u"},
    "return i + math.sqrt(energy) * z": {"u"},
    "z *= d.sigma; return i + z": {"energy", "u"},
    "e = d; return i + e.sigma * z": {"energy", "u"},
    "return i + d.sigma * z": {"energy", "u"},
    "f = lambda a: a * z * 0.5; return i + f(d.sigma)": {"energy", "u"},
    "return i + (lambda z: z * 2)(3.0)": {"energy", "u"},
    "return i + sum(z for z in (1.0, 2.0))": {"energy", "u"},
    "del z; return i": {"energy", "z", "u"},
    "e, w = d, z; return i + e.sigma * w": {"energy", "u"},
    "readout = lambda i, energy, z, u, d: i + z": {"energy", "u"},
    "other, readout = (lambda i, energy, z, u, d: i), (lambda i, energy, z, u, d: i + z)": {"energy", "u"},
}
"""What the analysis must find unused: for saying that everything is used it would not be needed."""


def made(source, key):
    """The function of a source, as a device file makes it."""
    whole = source.startswith(("def", "from", "readout", "other"))
    text = HEAD + (source if whole else f"def readout(i, energy, z, u, d): {source}") + "\n"
    space = {"__name__": "made"} | ({key: text} if key else {})
    exec(compile(text, "<a device file>", "exec", dont_inherit=True), space)
    return space["readout"]


def values(readout, **changed):
    """What a read-out gives at some points, with some of its arguments or fields held."""
    points = {"i": (-1.0, 2.0), "energy": (0.0, 0.5), "z": (-1.5, 0.0, 1.25), "u": (0.125, 0.75)}
    points = {n: (changed.get(n, p),) if n in changed else p for n, p in points.items()}
    d = types.SimpleNamespace(**{n: changed.get(n, v) for n, v in FIELDS.items()})
    return [readout(*point, d) for point in itertools.product(*points.values())]


def missed(analysis, source):
    """What the analysis gets wrong of one source: arguments and fields that change the value and count as unread."""
    readout = made(source, analysis.SOURCE)
    wrong = []
    for n in ARGUMENTS:
        depends = values(readout, **{n: 0.25}) != values(readout, **{n: 0.625})
        depends = depends or values(readout, **{n: -2.0}) != values(readout, **{n: 2.0})
        if depends and not analysis.uses(readout, n):
            wrong.append(n)
        if n in UNUSED.get(source, ()) and analysis.uses(readout, n):
            wrong.append(f"{n}, which it does not use")
        if not analysis.uses(made(source, None), n):
            wrong.append(f"{n}, without a source")
    for n in FIELDS:
        hidden = any(word in source for word in ("eval", "fields_of"))  # which nothing compiles
        if not hidden and values(readout, **{n: 1.5}) != values(readout) and n not in analysis.attributes(readout):
            wrong.append(f"d.{n}")
    return wrong


def main(path):
    """Compare, with the analysis that lies at a path; how many sources it misreads."""
    spec = importlib.util.spec_from_file_location("analysis", path)
    analysis = importlib.util.module_from_spec(spec)
    sys.modules["analysis"] = analysis
    spec.loader.exec_module(analysis)
    wrong = {source: found for source in SOURCES if (found := missed(analysis, source))}
    for source, found in wrong.items():
        print(f"{sys.version.split()[0]}: {source!r} misses {', '.join(found)}")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1]), 1))
