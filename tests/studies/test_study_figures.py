"""Figures of studies: what they say at any size, what a user's Matplotlib settings do, and where they are drawn."""

import itertools
import re

import numpy as np
import pytest
from matplotlib import image, rc_context
from matplotlib.collections import LineCollection, PolyCollection

import noisysim
from noisysim import devices, learners
from noisysim.common import durations, latex
from noisysim.common.fields import declared
from noisysim.reporting import lettering, style, wording
from noisysim.runs import config
from noisysim.studies.cells import Cells
from noisysim.studies.grids import Plan

from study_pages import finished, study_of

pytest.importorskip("xarray")
COLUMN = {"figure.figsize": (3.25, 2.4), "font.size": 8}
RULES = ["bp", "fdfa", "dfa", "danp", "dnp", "np"]
PLAIN = {"task": "digits", "layers": [16], "seed": [0, 1, 2]}
ASKED = {
    "a field of the device": {
        **PLAIN, "learner": ["danp", "bp"],
        "device": noisysim.grid("crossbar", stuck_random=[0.0, 0.01, 0.02, 0.05, 0.1, 0.2]),
    },
    "rates over decades": {**PLAIN, "learner": RULES, "learning_rate": [1e-4 * 2**k for k in range(8)]},
    "devices by name": {
        **PLAIN, "learner": RULES, "device": ["crossbar", "pulsed_piecewise", "crossbar:read_noise=0.1", "ideal"],
    },
    "many rules by name": {**PLAIN, "learner": [f"danp:samples={k},sigma=0.01" for k in range(1, 9)]},
    "zero and decades": {
        **PLAIN, "learner": ["danp", "bp"], "device": noisysim.grid("crossbar", drift_nu=[0.0, 1e-3, 0.01, 0.1]),
    },
    "panels": {
        **PLAIN, "learner": RULES[:4],
        "device": noisysim.grid("crossbar", adc_bits=[4, 6, 8], read_noise=[0, 0.01, 0.05]),
    },
}  # fmt: skip


def made_up(arguments):
    """A study whose runs are better the later they stand, with a spread over seeds."""
    return study_of(arguments, lambda index, plain: finished(0.3 + 0.3 * ((index % 37) / 37), warnings=""))


@pytest.fixture(scope="module", params=list(ASKED))
def any_study(request):
    return made_up(ASKED[request.param])


@pytest.fixture(scope="module")
def study():
    return made_up(ASKED["a field of the device"])


def texts(figure):
    """Every text that is seen, and its place in pixels."""
    renderer = figure.canvas.get_renderer()
    seen = [*figure.texts, figure._suptitle, figure._supxlabel]
    for panel in figure.axes:
        for axis in (panel.xaxis, panel.yaxis):
            low, high = sorted(axis.get_view_interval())
            seen += [axis.label, *(t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high)]
        seen += [panel.title, panel._left_title, panel._right_title]
    for legend in figure.legends:
        seen += [legend.get_title(), *legend.get_texts()]
    kept = {id(one): one for one in seen if one is not None and one.get_visible() and one.get_text()}
    return [(one, one.get_window_extent(renderer)) for one in kept.values()]


def inclined(one):
    return one.get_rotation() % 90 != 0


def touching(figure):
    """Pairs of texts that lie on each other; the boxes of inclined ones say nothing of that."""
    boxes = [(one.get_text(), box) for one, box in texts(figure) if not inclined(one)]
    pairs = itertools.combinations(boxes, 2)
    return [(a, b) for (a, one), (b, other) in pairs if one.padded(-0.5).overlaps(other.padded(-0.5))]


def cut(figure):
    """Texts that reach over an edge of the figure."""
    whole = figure.bbox
    return [
        one.get_text() for one, box in texts(figure)
        if box.x0 < -0.5 or box.y0 < -0.5 or box.x1 > whole.x1 + 0.5 or box.y1 > whole.y1 + 0.5
    ]  # fmt: skip


def test_the_measure_of_touching_and_cut_texts_sees_both():
    figure = style.figure(2, 2)
    figure.text(0.1, 0.5, "one text")
    figure.text(0.15, 0.5, "another")
    figure.text(0.9, 0.1, "too far right")
    figure.draw_without_rendering()
    assert touching(figure) == [("one text", "another")]
    assert cut(figure) == ["too far right"]


def test_a_figure_of_a_column_s_width_is_legible(any_study, tmp_path):
    """3.25 inches, letters of 8 points, as PDF: no text on another, none cut, of the width that was asked for."""
    with rc_context(COLUMN):
        drawn = any_study.plot(path=tmp_path / "figure.pdf")
    box = re.search(rb"/MediaBox \[ ?0 0 (\S+) (\S+) ?\]", (tmp_path / "figure.pdf").read_bytes())
    assert [float(side) for side in box.groups()] == pytest.approx([234, 172.8])
    drawn.draw_without_rendering()
    assert (touching(drawn), cut(drawn)) == ([], [])
    for panel in drawn.axes:
        assert panel.get_window_extent().height > 0.25 * drawn.bbox.height / len(
            {p.get_position().y0 for p in drawn.axes}
        )
        assert panel.get_window_extent().width > 0.4 * drawn.bbox.width / len({p.get_position().x0 for p in drawn.axes})


@pytest.mark.parametrize("settings", [{}, {"font.size": 14}, {"figure.figsize": (10, 7)}])
def test_it_is_at_other_sizes(any_study, settings):
    with rc_context(settings):
        drawn = any_study.plot()
    drawn.draw_without_rendering()
    assert (touching(drawn), cut(drawn)) == ([], [])


# --- a user's settings, and places ----------------------------------------------------------------------------------


def test_what_is_set_in_matplotlib_holds_and_only_that(study, tmp_path):
    usual = study.plot()
    assert usual.get_size_inches().tolist() == [5.4, 3.4]
    with rc_context({"figure.figsize": (7, 2.5), "font.size": 6, "lines.linewidth": 3, "savefig.dpi": 50}):
        drawn = study.plot(path=tmp_path / "small.png")
    assert drawn.get_size_inches().tolist() == [7, 2.5]
    assert drawn.axes[0].lines[0].get_linewidth() == 3
    assert usual.axes[0].lines[0].get_linewidth() == 1.4
    assert image.imread(tmp_path / "small.png").shape[:2] == (125, 350)
    assert drawn._suptitle.get_fontsize() == pytest.approx(0.6 * usual._suptitle.get_fontsize())
    sizes = [{round(one.get_fontsize(), 3) for one, _ in texts(figure)} for figure in (usual, drawn)]
    assert sorted(sizes[1]) == pytest.approx([0.6 * size for size in sorted(sizes[0])], abs=2e-3)
    with rc_context({"legend.fontsize": 5, "axes.labelsize": 7}):
        lettered = study.plot()
    assert lettered.legends[0].get_texts()[0].get_fontsize() == 5
    assert lettered.axes[0].xaxis.label.get_fontsize() == 7


def test_a_study_is_drawn_into_a_panel_of_the_users_own(study):
    figure = style.figure(6.75, 2.5)
    left, right = figure.subplots(1, 2)
    right.plot([0, 1], [0, 1])
    assert study.plot(x="stuck_random", ax=left) is figure
    assert figure.get_size_inches().tolist() == [6.75, 2.5]
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["danp", "bp"]
    assert (left.get_xlabel(), left.get_ylabel()) == ("stuck cells (share of the cells)", "test accuracy (%)")
    assert (len(left.lines), len(right.lines), figure._suptitle, right.get_legend()) == (2, 1, None, None)
    figure.draw_without_rendering()
    assert touching(figure) == []
    whole = style.figure(6, 3)
    assert study.plot(ax=whole.subfigures(1, 2)[1].subplots()) is whole
    with pytest.raises(ValueError, match="ax is one panel, and learner makes several"):
        study.plot(x="stuck_random", hue="seed", col="learner", ax=left)


# --- words and ticks ------------------------------------------------------------------------------------------------


def ticks(panel):
    panel.figure.draw_without_rendering()
    return [(tick.get_loc(), tick.label1.get_text()) for tick in panel.xaxis.get_major_ticks()]


def test_ticks_stand_at_what_was_measured(study):
    panel = study.plot().axes[0]
    assert [place for place, _ in ticks(panel)] == [0.0, 0.01, 0.02, 0.05, 0.1, 0.2]
    assert [label for _, label in ticks(panel) if label] == ["0", "0.02", "0.05", "0.1", "0.2"]
    panel.figure.set_size_inches(16, 4)  # there is room for all
    assert [label for _, label in ticks(panel)] == ["0", "0.01", "0.02", "0.05", "0.1", "0.2"]
    rates = made_up(ASKED["rates over decades"]).plot().axes[0]
    assert rates.get_xscale() == "log"
    assert [place for place, _ in ticks(rates)] == ASKED["rates over decades"]["learning_rate"]
    assert [label for _, label in ticks(rates)][::7] == ["1e-4", "1.28e-2"]
    zero = made_up(ASKED["zero and decades"]).plot().axes[0]
    assert ([label for _, label in ticks(zero)], zero.get_xscale()) == (["0", "0.001", "0.01", "0.1"], "symlog")
    assert zero.get_xlim()[0] > -0.001
    epochs = study.plot(x="epoch", learner="bp", stuck_random=0.1).axes[0]
    assert all(place == int(place) for place, _ in ticks(epochs))


def test_lines_go_from_the_least_value_to_the_largest():
    drawn = made_up({**PLAIN, "device": noisysim.grid("crossbar", adc_bits=[8, 4, 6])}).plot()
    assert drawn.axes[0].lines[0].get_xdata().tolist() == [4, 6, 8]


def test_values_at_which_no_run_finished_have_their_place():
    def found(index, plain):
        lost = {"status": "diverged", "error": "the loss grew", "values": {}}
        return lost if plain["learning_rate"] > 0.1 else finished(0.9)

    panel = study_of({**PLAIN, "learning_rate": [1e-3, 1e-2, 1.0]}, found).plot().axes[0]
    assert [label for _, label in ticks(panel)] == ["0.001", "0.01", "1"]
    assert panel.get_xlim()[1] > 1.0


def test_many_lines_have_bars_side_by_side_and_few_have_bands(study):
    few, many = study.plot().axes[0], made_up(ASKED["rates over decades"]).plot().axes[0]
    assert [isinstance(one, PolyCollection) for one in few.collections] == [True] * 2
    assert [isinstance(one, LineCollection) for one in many.collections] == [True] * 6
    many.figure.draw_without_rendering()
    places = [line.get_transform().transform(line.get_xydata())[0, 0] for line in many.lines]
    steps = np.diff(places) * 72 / many.figure.dpi
    np.testing.assert_allclose(steps, 2.0, rtol=1e-6)
    low, high = many.get_ylim()
    for bar in many.collections:
        ends = np.array([segment[:, 1] for segment in bar.get_segments()])
        assert low < ends.min() < ends.max() < high


def test_tests_after_a_wait_stand_against_the_time():
    def found(index, plain):
        record = finished(0.9)
        record["values"]["test_accuracy_after"] = [0.9, 0.8, 0.7]
        return record

    study = study_of({**PLAIN, "learner": ["danp", "bp"]}, found)
    study.content.seconds = [1.0, 86400.0, 2.6e6]
    panel = study.plot("test_accuracy_after").axes[0]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("time since learning ended", "test accuracy (%)")
    np.testing.assert_allclose(panel.lines[0].get_ydata(), [90, 80, 70])
    assert [label for _, label in ticks(panel)] == ["1 s", "1 day", "30 days"]


def test_times_are_in_words():
    said = {0: "0 s", 1: "1 s", 59: "59 s", 60: "1 min", 5400: "1.5 h", 86400: "1 day", 2.6e6: "30 days",
            365 * 86400: "365 days", 3.2e7: "1 year", 10 * 365.25 * 86400: "10 years"}  # fmt: skip
    assert {seconds: durations.in_words(seconds) for seconds in said} == said


@pytest.mark.parametrize(
    ("name", "arguments", "label", "panel"),
    [
        ("adc_bits", {"device": "crossbar"}, "ADC resolution (bits)", "ADC resolution = 8 bits"),
        (
            "read_noise",
            {"device": "crossbar"},
            "read noise, std (share of the cell's conductance)",
            "read noise, std = 8",
        ),
        ("sigma", {"learner": "danp"}, "perturbation, std (pre-activation units)", "perturbation, std = 8"),
        ("device_sigma", {"device": "gaussian"}, "line noise, std (pre-activation units)", "line noise, std = 8"),
        ("momentum", {"optimizer": "sgd"}, "momentum", "momentum = 8"),
        ("warm_up", {"schedule": "cosine"}, "warm up (epochs)", "warm up = 8 epochs"),
        ("adc_gain", {"device": "crossbar"}, "ADC gain", "ADC gain = 8"),
        ("learning_rate", {}, "learning rate", "learning rate = 8"),
        ("epoch", {}, "epoch", "epoch = 8"),
    ],
)
def test_axes_are_called_by_words_with_the_units_of_their_fields(name, arguments, label, panel):
    [cell] = Cells(Plan({**arguments, "layers": [5], "task": "digits"})).cells
    quantity = wording.axis(name, cell.plain)
    assert quantity.label == label
    assert quantity.value("8").replace("\N{NO-BREAK SPACE}", " ") == panel


def test_of_two_fields_of_a_name_the_axis_is_that_which_varies():
    asked = {"device": noisysim.grid("gaussian", sigma=[0.01, 0.1]), "learner": "danp:sigma=0.1"}
    assert made_up({**PLAIN, **asked}).plot().axes[0].get_xlabel() == "line noise, std (pre-activation units)"
    asked = {"device": "gaussian", "learner": noisysim.grid("danp", sigma=[0.01, 0.1])}
    assert made_up({**PLAIN, **asked}).plot().axes[0].get_xlabel() == "perturbation, std (pre-activation units)"


def test_every_name_that_has_words_of_its_own_exists():
    fields = {f"device.{name}" for device in devices.names() for name in declared(devices.kind(device))}
    fields |= {f"learner.{name}" for cls in learners.LEARNERS.values() for name in declared(cls)}
    known = fields | {one.partition(".")[2] for one in fields} | set(config.SETTINGS) | {"seconds"}
    assert [name for name in wording.WORDS if name not in known] == []


def test_measured_variables_are_called_by_words():
    said = {"test_accuracy": "test accuracy (%)", "train_loss": "training loss", "elapsed": "time (s)", "mvms": "MVMs",
            "adc_conversions": "ADC conversions", "test_accuracy_after": "test accuracy (%)"}  # fmt: skip
    assert {name: wording.measured(name).label for name in said} == said


def test_numbers_of_an_axis_have_one_notation():
    assert lettering.numbers([0, 0.05, 0.1]) == ["0", "0.05", "0.1"]
    assert lettering.numbers([1e-4, 1.6e-3]) == ["1e-4", "1.6e-3"]
    assert lettering.numbers([0, 1e5, 2e6]) == ["0", "1e5", "2e6"]
    assert lettering.numbers([4, 2048]) == ["4", "2048"]


def test_a_long_text_breaks_at_spaces_and_marks():
    assert lettering.wrapped("short", 8, 100) == "short"
    broken = lettering.wrapped("crossbar:read_noise=0.1 and words", 8, 60)
    assert broken.replace("\n", "").replace(" ", "") == "crossbar:read_noise=0.1andwords"
    assert len(broken.split("\n")) == 3
    assert lettering.width(broken, 8) <= 60


def test_no_text_is_taken_for_a_formula():
    learner = "danp:sigma=0.01"
    study = made_up({**PLAIN, "learner": [learner, "bp"]})
    study.content.axes["learner"][1] = "a $x_$ \\frac{ {{"
    drawn = study.plot(x="seed", hue="learner")
    drawn.draw_without_rendering()
    assert drawn.legends[0].get_texts()[1].get_text() == "a \\$x_\\$ \\frac{ {{"
    with rc_context({"text.usetex": True}):
        assert lettering.literal("50 % of g_max") == r"50 \% of g\_max"


def test_latex_finds_no_command_in_a_text():
    assert latex.escaped(r"a_b & 5 % #1 $x$ {y} ~ ^ \z < µS ±") == (
        r"a\_b \& 5 \% \#1 \$x\$ \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}z \textless{} \textmu{}S "
        r"$\pm$"
    )
