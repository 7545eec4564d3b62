"""Figures of runs, deployments and fits as a careful reader sees them: nothing cut, nothing over something else."""

from types import SimpleNamespace

import numpy as np
import pytest

import noisysim
from noisysim.devices.fitting import Fit
from noisysim.reporting import deployment_figure, fit_figure, style

import legible

GIVEN = {"layers": [8], "progress": False}


def test_the_check_finds_what_a_reader_would_mark():
    figure = style.figure(3, 2)
    axes = figure.subplots()
    axes.text(0.1, 0.5, "one text")
    axes.text(0.15, 0.5, "over another")
    figure.text(0.99, 0.5, "beyond the edge")
    axes.plot([0, 1], label="a label that is much wider than this small panel, of three inches, is")
    axes.legend(loc="lower left").set_in_layout(False)
    found = " ".join(legible.faults_of(figure))
    assert "'one text' and 'over another' overlap" in found
    assert "'beyond the edge' goes beyond" in found
    assert "larger than its panel" in found


@pytest.mark.parametrize("settings", [{"epochs": 1, "chips": 4}, {"epochs": 3, "validation": 0.2}], ids=str)
def test_learning_curves_are_legible(settings):
    figure = noisysim.run(**GIVEN, **settings).plot()
    assert list(legible.faults_of(figure)) == []
    for panel in figure.axes:
        legend = panel.get_legend().get_window_extent()
        for line in panel.lines:
            if line.get_label().startswith("_"):  # bars, which have no entry of their own
                path = line.get_transform().transform_path(line.get_path())
                assert not path.intersects_bbox(legend, filled=False)


def test_diagnostics_are_legible():
    result = noisysim.run(**GIVEN, epochs=2, diagnostics=["angle", "bias", "weight_norm", "passed_share"])
    assert list(legible.faults_of(result.plot(what="diagnostics"))) == []
    assert list(legible.faults_of(result.plot(what="passed_share"))) == []


@pytest.mark.parametrize("times", [[0.0], [0.0, 60.0, 86400.0, 3.2e8]], ids=len)
def test_deployments_are_legible(times):
    accuracy = 0.9 - 0.05 * np.arange(len(times))[:, None] + 0.01 * np.arange(3)
    found = SimpleNamespace(
        task="digits", device="pcm", seconds=np.array(times), test_accuracy=accuracy, test_loss=1 - accuracy,
        exact_accuracy=0.95, exact_loss=0.05, layers=[SimpleNamespace(snr=20.0), SimpleNamespace(snr=np.inf)],
    )  # fmt: skip
    assert list(legible.faults_of(deployment_figure.draw(found))) == []


def test_fits_that_agree_are_all_seen():
    pulses = np.arange(50.0)
    curves = dict.fromkeys(("up", "down"), (pulses, pulses + 0.1, pulses))
    fits = [Fit(name, {}, curves, 0.01) for name in ("pulsed", "pulsed_power", "pulsed_exponential")]
    figure = fit_figure.draw(fits, "cell.csv: pulsed")
    assert list(legible.faults_of(figure)) == []
    lines = [line for line in figure.axes[0].lines if line.get_label().startswith("pulsed")]
    widths, heights = [line.get_linewidth() for line in lines], [line.get_zorder() for line in lines]
    assert sorted(widths) == widths
    assert sorted(heights, reverse=True) == heights
    assert len(set(widths)) == len(fits)
