"""How notebooks show objects: tables that are well-formed, escaped, aligned to the left and without colours."""

import pickle
import re
from html.parser import HTMLParser
from typing import Annotated

import numpy as np
import pytest

import noisysim
from noisysim import devices, learners, tasks
from noisysim.common import html_table
from noisysim.common.fields import Field
from noisysim.devices.field_groups import Converters, device_fields
from noisysim.reporting import inline

HOSTILE = '<script>alert("&")</script>'
RUN = {"layers": [4], "device": "crossbar", "learner": "danp", "epochs": 1, "batch_size": 20, "progress": False}


class Page(HTMLParser):
    """The cells of all rows, and the other texts, of a piece of HTML."""

    def __init__(self, text):
        super().__init__()
        self.open, self.rows, self.texts, self.styles = [], [], [], []
        self.feed(text)
        assert not self.open, f"{self.open} not closed"

    def handle_starttag(self, tag, attributes):
        assert tag in {"div", "table", "tr", "th", "td", "details", "summary", "img"}, tag
        if tag != "img":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            assert "text-align:left" in dict(attributes)["style"]
            self.rows[-1].append("")
        self.styles += [value for name, value in attributes if name in ("style", "bgcolor", "color", "class")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("th", "td"):
            self.rows[-1][-1] += data
        else:
            self.texts.append(data)


def page(shown):
    found = Page(shown._repr_html_())
    assert not re.search(r"color|background|#|rgb", " ".join(found.styles))
    return found


def arrays(labels):
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 3)).astype(np.float32), np.array(labels * (60 // len(labels)))


@pytest.fixture(scope="module")
def result():
    return noisysim.run(arrays([0, 1, 2]), **RUN)


# --- tables ---------------------------------------------------------------------------------------------------------


def test_a_table_escapes_every_text():
    found = Page(html_table.table([(HOSTILE, HOSTILE, "\x1b[31m")], HOSTILE))
    assert found.rows == [[HOSTILE, HOSTILE, "[31m"]]
    assert found.texts == [HOSTILE]


def test_of_many_settings_those_that_were_changed_come_first_and_the_others_are_folded():
    names = [f"n{k}" for k in range(html_table.ALL + 1)]
    fields, defaults = {name: Field("s", doc="a time") for name in names}, dict.fromkeys(names, 1.0)
    text = html_table.settings("thing", "What it is.\n\nMore.", fields, {**defaults, "n7": 2.5}, defaults)
    found = Page(text)
    assert found.texts == ["thing: What it is.", f"{html_table.ALL} at their defaults"]
    assert found.rows[0] == ["n7", "2.5", "s", "a time"]
    assert [row[0] for row in found.rows] == ["n7", *(name for name in names if name != "n7")]
    assert text.index("n7") < text.index("<details>") < text.index("n0")


# --- devices, learners, tasks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted({*devices.names()} - {"gaussian", "ideal"}))
def test_a_device_shows_its_numbers_with_units(name):
    device = devices.get(name)
    rows = {row[0]: row[1:] for row in page(device).rows}
    assert rows.keys() == set(device._fields)
    for field, (value, unit, doc) in rows.items():
        declared = devices.REGISTRY.fields(name)[field]
        assert (unit, doc) == (declared.unit, declared.doc)
        assert value == str(getattr(device, field))


def test_a_plain_named_tuple_keeps_its_short_form():
    device = devices.get("gaussian")
    assert not hasattr(device, "_repr_html_")
    assert repr(device) == "Gaussian(sigma=0.001)"


def test_what_differs_from_the_default_device_comes_first():
    found = page(devices.get("crossbar", adc_bits=6, read_noise=0.02))
    assert found.rows[:2] == [
        ["read_noise", "0.02", "share of the cell's conductance", "std of a cell's conductance, each read"],
        ["adc_bits", "6", "bits", "resolution of the output converters"],
    ]
    assert found.texts[0].startswith("Crossbar: A generic 8-bit crossbar")


def test_a_device_of_ones_own_has_the_form_too():
    @device_fields
    class Hostile(Converters):
        strength: Annotated[float, Field("<b>", 0, 1, HOSTILE)] = 0.5

    Hostile.__doc__ = HOSTILE
    found = page(Hostile(strength=0.25))
    assert found.texts[0] == f"Hostile: {HOSTILE}"
    assert found.rows[0] == ["strength", "0.25", "<b>", HOSTILE]


@pytest.mark.parametrize("name", learners.names())
def test_a_learner_shows_its_settings(name):
    learner = learners.get(name)
    found = page(learner)
    assert [row[0] for row in found.rows] == [n for n in learners.describe(learner) if n != "name"]
    assert found.texts[0].startswith(f"{name}: {type(learner).__doc__.splitlines()[0]}")


def test_a_task_shows_sizes_and_labels():
    found = page(tasks.get(arrays([HOSTILE, "b", "c"])))
    rows = {row[0]: row[1] for row in found.rows}
    assert rows["samples"] == "48 to learn, 12 to test"
    assert rows["outputs"] == f"3 classes: {HOSTILE}, b, c"
    assert rows["loss"] == "cce"
    assert page(tasks.get("digits")).rows[1] == ["inputs", "64 (8 x 8)"]


# --- chips, runs, studies ---------------------------------------------------------------------------------------------


def test_a_chip_shows_what_it_is_and_what_it_did(result):
    chip = noisysim.Chip([3, 4, 2], "crossbar:adc_bits=6", chips=2)
    assert page(chip).rows == [
        ["network", "3-4-2, leaky_relu"], ["device", "crossbar:adc_bits=6"], ["chips", "2"], ["clock", "0 s"],
    ]  # fmt: skip
    chip.predict(np.ones((5, 3), np.float32))
    rows = dict(page(chip).rows)
    assert rows["passes"] == f"{chip.cost.passes:,}" != "0"
    assert rows["MVMs"] == f"{chip.cost.mvms:,}"


def test_a_result_shows_its_summary(result):
    assert [tuple(row) for row in page(result).rows] == result.rows()


def test_a_result_escapes_what_a_file_says(result):
    content = {**result.content, "warnings": [HOSTILE]}
    assert ["WARNING", HOSTILE] in page(noisysim.Result(content, None)).rows


def test_a_study_shows_its_summary(tmp_path):
    pytest.importorskip("distributed", exc_type=ImportError)
    asked = {"layers": [4], "epochs": 1, "workers": 1, "progress": False}
    study = noisysim.sweep(learner=["bp"], device="ideal", seed=[0, 1], **asked)
    assert [tuple(row) for row in page(study).rows] == study.rows()
    study.axes[HOSTILE] = [HOSTILE]
    assert [HOSTILE, HOSTILE] in page(study).rows


# --- figures ----------------------------------------------------------------------------------------------------------


def figures(result):
    yield result.plot()
    yield noisysim.plot.network(result.chip().network)
    yield noisysim.plot.device("ideal")


def test_every_figure_has_a_picture_for_notebooks(result):
    for figure in figures(result):
        assert type(figure) is inline.Figure
        assert figure._repr_png_().startswith(b"\x89PNG")
        assert repr(figure).startswith("<Figure size ")
        again = pickle.loads(pickle.dumps(figure))
        assert again._repr_png_() == figure._repr_png_()


def test_figures_are_no_part_of_pyplot(result):
    """Whose inline backend would show them once more at a cell's end."""
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    assert all(figures(result))
    assert pyplot.get_fignums() == before
