"""`benchmarks.gpu_short`: every part runs in the simulator, and one that fails or hangs costs the others nothing."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))
from benchmarks.gpu_short import __main__ as gpu_short  # noqa: E402
from benchmarks.gpu_short import parts  # noqa: E402

ROW = {"what": "it", "value": 1.5, "unit": "ms", "bar": "", "passed": True, "detail": ""}


@pytest.fixture
def replaced(monkeypatch, tmp_path):
    """Parts that are snippets of Python, by name; the status, and what the JSON file holds."""

    def run(limit=20.0, **snippets):
        monkeypatch.setattr(gpu_short, "LIMITS", dict.fromkeys(snippets, limit))
        monkeypatch.setattr(gpu_short, "_command", lambda name: [sys.executable, "-c", snippets[name]])
        monkeypatch.setattr(gpu_short, "_environment", lambda: {"gpu": "made up", "date": "today"})
        out = tmp_path / "kept" / "report.json"
        with pytest.raises(SystemExit) as ended:
            gpu_short.main(["--out", str(out)])
        return ended.value.code, json.loads(out.read_text())

    return run


def row(**differs):
    return f"print({gpu_short.MARK + json.dumps({**ROW, **differs})!r}, flush=True)\n"


def test_every_part_has_a_function_and_all_fit_in_eight_minutes():
    assert all(callable(getattr(parts, name)) for name in gpu_short.LIMITS)
    assert sum(gpu_short.LIMITS.values()) <= gpu_short.TOTAL + 30
    assert gpu_short.TOTAL == 480


def test_a_part_that_fails_or_hangs_keeps_its_rows_and_leaves_the_others_alone(replaced, capsys):
    began = time.monotonic()
    code, content = replaced(
        4.0,
        crashes=row() + "import os; print('last words', flush=True); os.abort()",
        hangs=row() + "import subprocess; subprocess.run(['sleep', '60'])",
        works=row() + row(what="another"),
    )
    assert time.monotonic() - began < 30
    assert code == 1
    found = content["parts"]
    assert {name: len(part["rows"]) for name, part in found.items()} == {"crashes": 1, "hangs": 1, "works": 2}
    assert (found["crashes"]["status"], found["crashes"]["said"]) == ("failed with -6", ["last words\n"])
    assert found["hangs"]["status"] == "stopped after 4 s"
    assert found["works"]["status"] == "done"
    assert content["environment"] == {"gpu": "made up", "date": "today"}
    table = capsys.readouterr().out.split("made up")[-1]
    assert table.count("ok   it ") == 3
    assert "-- hangs: stopped after 4 s" in table


@pytest.mark.parametrize(("passed", "status"), [(True, 0), (False, 1)])
def test_a_missed_bar_is_in_the_exit_status(replaced, passed, status):
    assert replaced(one=row(passed=passed))[0] == status


def test_parts_after_the_last_second_are_not_begun(replaced, monkeypatch):
    monkeypatch.setattr(gpu_short, "TOTAL", 0.0)
    code, content = replaced(one=row())
    assert (code, content["parts"]["one"]["status"]) == (1, "not begun: no time left")


def test_an_unknown_part_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        gpu_short.main(["fast"])
    assert ended.value.code == 2
    assert "invalid choice: 'fast'" in capsys.readouterr().err


def simulated(command):
    environ = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=environ, capture_output=True, text=True)


COUNTING = """
import numpy as np
from benchmarks.gpu_short.launches import ARRAY, PRODUCT, counted
from noisysim.compute import backends

place = backends.get("cuda")
xp, a = place.xp, place.put(np.ones((2, 3), np.float32))
nothing = [
    lambda: xp.empty(3), lambda: a.reshape(3, 2), lambda: a[1:], lambda: xp.ascontiguousarray(a),
    lambda: xp.broadcast_to(a, (4, 2, 3)), lambda: a.T, lambda: a.astype(np.float32, copy=False),
]
one = [
    lambda: xp.zeros(3), lambda: a.T.reshape(6), lambda: a.__setitem__(0, 1), lambda: xp.ascontiguousarray(a.T),
    lambda: a.copy(), lambda: a.astype(np.float64), lambda: a.fill(1), lambda: a + a, lambda: xp.exp(a, out=a),
    lambda: a.sum(), lambda: bool(a[0, 0]), lambda: float(a[0, 0]), lambda: place.take(a), lambda: xp.array([1.0]),
    lambda: place.ops.squared_error(a, a),
]
for of, calls in ((0, nothing), (1, one)):
    for k, call in enumerate(calls):
        found = counted(call)
        assert sum(each.launches for each in found.values()) == of, (of, k, found)
stack = place.put(np.ones((2, 3, 3), np.float32))
turned, parts = stack.swapaxes(1, 2), stack[:, :2, :2]
for copies, call in enumerate(
    [lambda: xp.matmul(stack, stack), lambda: xp.matmul(turned, stack), lambda: xp.matmul(parts, parts)]
):
    found = counted(call)
    assert found[PRODUCT].launches == 1 and sum(each.launches for each in found.values()) == 1 + copies, (copies, found)
assert set(counted(lambda: xp.matmul(a, a.T))) == {PRODUCT} and set(counted(lambda: a.max())) == {ARRAY}
"""


def test_what_launches_nothing_is_not_counted_and_what_copies_is():
    ran = simulated(["-c", COUNTING])
    assert ran.returncode == 0, ran.stderr


def test_parts_run_in_the_simulator_and_end_in_a_table(tmp_path):
    out = tmp_path / "report.json"
    ran = simulated(["-m", "benchmarks.gpu_short", "smoke", "launches", "--out", out])
    content = json.loads(out.read_text())
    assert {name: part["status"] for name, part in content["parts"].items()} == {"smoke": "done", "launches": "done"}
    assert ran.returncode == 0, ran.stdout
    rows = {row["what"]: row for part in content["parts"].values() for row in part["rows"]}
    step = rows["DANP step, crossbar, three hidden layers: launches"]
    assert (step["bar"], step["value"]) == ("38", 38)
    assert rows["DANP step, crossbar, ConvNet: launches"]["value"] <= 53
    assert {f"{family}: median difference of outputs" for family in parts.FAMILIES} <= set(rows)
    assert content["environment"]["gpu"] == "none: Numba's simulator"
    assert "wires: median difference" in ran.stdout.rpartition("Numba's simulator")[2]


OTHERS = """
import json, sys
from benchmarks.gpu_short import parts

print(json.dumps({name: [row._asdict() for row in getattr(parts, name)()] for name in sys.argv[1:]}))
"""


def test_the_other_parts_run_in_the_simulator():
    """In one process: that each may have its own is seen above."""
    names = [name for name in gpu_short.LIMITS if name not in ("smoke", "launches")]
    ran = simulated(["-c", OTHERS, *names])
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert list(found) == names
    assert all(rows and all(row["passed"] for row in rows) for rows in found.values()), found
    rows = {row["what"]: row for row in found["suite"]}
    assert rows["tests of kernels that pass"]["value"] >= 3
