"""Drawings of networks, and the command that shows one."""

import itertools
import re

import pytest

import noisysim
from noisysim import Chip, average_pool, cli, concat, conv, dense, multiply, residual
from noisysim.networks.building import architecture
from noisysim.networks.layers import NAMED, summary
from noisysim.reporting import network_figure

import legible

NETS = {
    "chain": [5, 4, 3],
    "residual": [(1, 8, 8), conv(4, 3), residual([conv(4, 3, padding="same")]), 3],
    "nested": [
        (1, 8, 8), concat([conv(4, 3)], [conv(4, 3), residual([conv(4, 1)], [conv(4, 1)])], [conv(2, 3)]),
        multiply([], [average_pool(), dense(10, "sigmoid")]), 3,
    ],
    "wired": [6, "a = 6", "b = 6", "c = add()(a, b)", "d = add()(input, c)", "concat()(a, b, d)", 3],
}  # fmt: skip
NETS |= {name: [named.input_shape, *named, named.n_out] for name, named in NAMED.items()}
EACH = pytest.mark.parametrize("name", NETS)


def planned(name):
    parts = summary(architecture(NETS[name]))
    return parts, network_figure.plan(parts)


@EACH
def test_nothing_stands_where_something_else_does(name):
    parts, found = planned(name)
    passed = [place for path in found.paths.values() for place in path[1:-1]]
    places = [*found.places.values(), *passed]
    assert len(places) == len(set(places))
    assert found.places.keys() == {part.node for part in parts}


@EACH
def test_connections_go_down_row_by_row_from_what_is_seen(name):
    parts, found = planned(name)
    assert found.paths.keys() == {(source, part.node) for part in parts for source in part.sources}
    for (source, node), path in found.paths.items():
        assert (path[0], path[-1]) == (found.places[source], found.places[node])
        assert [low.row - high.row for high, low in itertools.pairwise(path)] == [1] * (len(path) - 1)
        assert len({place.lane for place in path[1:-1]}) <= 1


def test_branches_are_side_by_side_and_the_main_one_is_straight():
    _, found = planned("residual")
    assert {place.lane for place in found.places.values()} == {0}
    assert {place.lane for path in found.paths.values() for place in path} == {0, 1}
    _, found = planned("nested")
    assert {place.lane for place in found.places.values()} == {0, 1, 2}


@pytest.mark.parametrize("name", [*list(NETS)[:4], "resnet-8", "resnet-20"])
def test_boxes_do_not_overlap_and_their_texts_fit(name, tmp_path):
    net = architecture(NETS[name])
    figure = noisysim.plot.network(net, tmp_path / "net.svg", name)
    axes = figure.axes[0]
    boxes = [patch for patch in axes.patches if patch.get_facecolor()[3] and hasattr(patch, "get_boxstyle")]
    assert len(boxes) == len(summary(net))
    areas = [box.get_window_extent() for box in boxes]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(areas, 2))
    renderer = figure.canvas.get_renderer()
    apart = (name, network_figure.KEY)
    words = [text.get_window_extent(renderer) for text in axes.texts if text.get_text() not in apart]
    for text in words:
        assert any(
            area.x0 <= text.x0 and text.x1 <= area.x1 and area.y0 <= text.y0 and text.y1 <= area.y1 for area in areas
        )
    assert name in (tmp_path / "net.svg").read_text()
    assert figure.get_size_inches()[1] < 14
    assert list(legible.faults_of(figure)) == []


def test_a_figure_is_continued_beside_itself_only_where_that_shortens_it():
    width, height = noisysim.plot.network(architecture(NETS["encoder-rows"])).get_size_inches()
    assert width < 12  # its branches leave no place for a cut but near to its end
    assert 15 < height < 18
    assert noisysim.plot.network(architecture(NETS["mobilenet-v1-0.25"])).get_size_inches()[1] < 12


def test_what_weights_are_on_is_said():
    chip = Chip([6, 5, 3], "crossbar:tile_rows=4")
    figure = noisysim.plot.network(chip.network)
    title, key, *texts = [text.get_text() for text in figure.axes[0].texts]
    assert "blue: weights on arrays" in key
    assert title == "45 weights on 4 arrays"
    assert texts == [
        "input   6",
        "1: dense(5), leaky_relu\n5;  30 weights, 2 arrays",
        "2: dense(3)\n3;  15 weights, 2 arrays",
    ]


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr("sys.argv", ["noisysim", *map(str, words)])
        with pytest.raises(SystemExit):
            cli.main()
        out, err = capsys.readouterr()
        return out, err.strip() or None

    return run


def rows(out):
    """Columns of a printed table by the first."""
    lines = [re.split(r"  +", line.strip()) for line in out.splitlines()[2:] if line.strip()]
    return {row[0]: row[1:] for row in lines}


def test_a_published_network_is_shown_with_its_own_ends(call, tmp_path):
    out, said = call("networks", "show", "resnet-8", "--device", "crossbar:tile_rows=128", "--plot", "net.png")
    assert said is None
    assert out.startswith("77,360 weights on 21 arrays, 12,501,632 MACs a sample\n")
    found = rows(out)
    assert found["part"] == ["what it is", "sees", "gives", "arrays", "cells", "weights", "MACs"]
    assert found["add 2"] == ["add", "layer 5, layer 6", "16 x 16 x 32"]
    assert found["layer 8"][2:] == ["8 x 8 x 64", "5", "36,864", "36,864", "2,359,296"]
    assert out.endswith("\nnet.png\n")
    assert (tmp_path / "net.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "given", "wanted"),
    [
        (["conv(4, 3)", "residual([conv(4, 1)])", "20"], [], {"input": ["8 x 8 x 1"], "layer 4": "10"}),  # of digits
        (["resnet-8"], ["--task", "digits"], {"input": ["8 x 8 x 1"], "layer 10": "10"}),
        (["resnet-8"], ["--outputs", 3], {"input": ["32 x 32 x 3"], "layer 10": "3"}),
        (["20"], ["--input", 7, "--outputs", 3, "--bias"], {"input": ["7"], "layer 2": "3"}),
        (["conv(4, 3)"], ["--input", 2, 9, 8, "--outputs", 3], {"input": ["9 x 8 x 2"], "layer 2": "3"}),
        ([], ["--task", "digits"], {"input": ["64"], "layer 1": "10"}),
    ],
)  # fmt: skip
def test_input_and_outputs_are_those_asked_for(call, words, given, wanted):
    out, said = call("networks", "show", *words, *given)
    assert said is None
    found = rows(out)
    (_, first), (last, outputs) = wanted.items()
    assert found["input"] == first
    assert found[last][2] == outputs


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resnet-9"], "did you mean 'resnet-8'"), (["conv(4, 30)"], "does not fit"),
        (["20", "--device", "crosbar"], "did you mean 'crossbar'"), (["20", "--plot", "net.pgn"], "picture file"),
        (["resnet-8", "--task", "sarco"], "did you mean 'sarcos'"), (["20", "--input", "-3"], "first of layers"),
        (["20", "--activation", "rely"], "did you mean 'relu'"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_says_why(call, words, message):
    out, said = call("networks", "show", *words)
    assert message in said
    assert not out


def test_networks_are_listed(call):
    out, said = call("networks")
    assert said is None
    assert all(name in out for name in NAMED)
