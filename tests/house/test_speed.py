"""`benchmarks.speed`: which parts there are, what becomes of times, what is said where a part cannot be measured."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))
from benchmarks.speed import __main__ as speed  # noqa: E402
from benchmarks.speed import measure, work  # noqa: E402


def test_every_module_is_a_part_or_serves_parts():
    found = {path.stem for path in (ROOT / "benchmarks" / "speed").glob("*.py")}
    assert found - set(speed.MODULES.values()) == {"__init__", "__main__", "measure", "work", "line_device"}


@pytest.mark.parametrize("part", [*speed.PARTS, *speed.APART])
def test_every_part_says_what_it_measures(part, capsys):
    path = ROOT / "benchmarks" / "speed" / f"{speed.MODULES[part]}.py"
    assert re.search(r"^def rows\(", path.read_text(), re.MULTILINE)
    with pytest.raises(SystemExit):
        speed.main(["--help"])
    line = re.search(rf"^  {part} +(.*)$", capsys.readouterr().out, re.MULTILINE)
    assert line
    assert line[1].endswith(".")
    assert f"`{part}`" in (ROOT / "docs" / "performance.md").read_text()


@pytest.mark.parametrize(
    ("asked", "said"),
    [(["fast"], "invalid choice: 'fast'"), (["gpu", "step"], "ask for it alone")],
)
def test_parts_that_cannot_be_measured_are_refused(asked, said, capsys):
    with pytest.raises(SystemExit) as ended:
        speed.main(asked)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
def test_torch_is_measured_only_where_it_is_installed(capsys):
    assert "torch" not in speed.chosen([])
    with pytest.raises(SystemExit):
        speed.main(["torch"])
    assert "torch is not installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "value", "passed"),
    [
        (measure.at_most, 2.0, True), (measure.at_most, 2.001, False), (measure.at_most, float("nan"), False),
        (measure.at_least, 2.0, True), (measure.at_least, 1.999, False), (measure.at_least, float("nan"), False),
    ],
)  # fmt: skip
def test_a_bar_is_held_or_missed(make, value, passed):
    row = make("a claim", value, 2)
    assert row.passed is passed
    assert str(row).startswith("ok " if passed else "NOT")


def test_functions_are_timed_in_turns_after_a_round_that_does_not_count():
    called, clock = [], [0.0]

    def take(name, seconds):
        called.append(name)
        clock[0] += seconds + 10 * (len(called) <= 2)

    times = measure.interleaved({"a": lambda: take("a", 1), "b": lambda: take("b", 2)}, 3, lambda: clock[0])
    assert called == ["a", "b"] * 4
    assert times == {"a": [1, 1, 1], "b": [2, 2, 2]}


def test_ratios_are_of_the_same_round_or_of_the_fastest():
    times = {"one": [4.0, 6.0, 20.0], "two": [2.0, 2.0, 5.0]}
    assert measure.ratio(times, "one", "two") == 3
    assert measure.fastest(times, "one", "two") == 2


def test_a_second_thread_is_timed_on_the_wall_and_other_work_on_this_process():
    spent = measure.seconds(lambda: measure.time.sleep(0.05), measure.CPU)
    assert spent < 0.04 < measure.seconds(lambda: measure.time.sleep(0.05))


def test_products_of_a_step_count_what_the_step_multiplies(monkeypatch):
    multiplied = []
    monkeypatch.setattr(work.np, "matmul", lambda a, b, out: multiplied.append((a.shape, b.shape)))
    work.products([6, 4, 2], 3, read_noise=False)()
    dense = [((3, 6), (6, 6)), ((3, 6), (6, 4)), ((4, 3), (3, 6)), ((3, 6), (6, 6)), ((6, 3), (3, 6))]
    second = [((3, 4), (4, 4)), ((3, 4), (4, 2))] * 2 + [((2, 3), (3, 4)), ((4, 3), (3, 4)), ((4, 4), (4, 4))]
    assert multiplied[:5] == dense
    assert sorted(multiplied[5:]) == sorted(second)
