"""A notebook, executed: figures show by themselves and once, progress is one output, prompts are completed."""

import pytest

import noisysim

nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install nbclient ipykernel")
pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install nbclient ipykernel")

COMPLETE = """
from IPython.core.completer import provisionalcompleter

def completed(text):
    with provisionalcompleter():
        return [c.text for c in get_ipython().Completer.completions(text, len(text))]
"""
CELLS = {
    "import": "import noisysim",
    "run": "result = noisysim.run(layers=[8], device='ideal', learner='bp', epochs=3)",
    "silent": "noisysim.run(layers=[8], device='ideal', learner='bp', epochs=1, progress=False).status",
    "interrupted": (
        "import os, signal\n"
        "def interrupt(event):\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "noisysim.run(layers=[8], device='ideal', learner='bp', epochs=9, progress=False, callbacks=[interrupt]).status"
    ),
    "result": "result",
    "figure": "result.plot()",
    "kept": "figure = result.plot()",
    "inline": "%matplotlib inline",
    "figure beside pyplot's": "result.plot()",
    "kept beside pyplot's": "figure = result.plot()",
    "device": "noisysim.devices.Crossbar(adc_bits=6)",
    "complete": COMPLETE,
    "names": "print(*completed('noisysim.'))",
    "arguments": "print(*completed('noisysim.run('))",
}


@pytest.fixture(scope="module")
def outputs():
    """The outputs of each cell."""
    import nbformat

    cells = [nbformat.v4.new_code_cell(source) for source in CELLS.values()]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=300, startup_timeout=300, kernel_name="python3").execute()
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells, strict=True)}


def only(found):
    assert len(found) == 1, found
    return found[0]


def test_progress_is_one_output_without_widgets(outputs):
    shown = only(outputs["run"])
    assert shown.output_type == "display_data"
    assert shown.data["text/plain"].startswith("epoch 3/3, 100 %, loss ")
    assert shown.data["text/html"].count("<progress ") == 1
    assert only(outputs["silent"]).data == {"text/plain": "'finished'"}


@pytest.mark.parametrize("name", ["figure", "figure beside pyplot's"])
def test_a_figure_shows_by_itself_and_once(outputs, name):
    shown = only(outputs[name])
    assert shown.output_type == "execute_result"
    assert set(shown.data) == {"text/plain", "image/png"}


def test_a_kernel_that_is_interrupted_keeps_the_run(outputs):
    assert only(outputs["interrupted"]).data == {"text/plain": "'interrupted'"}


@pytest.mark.parametrize("name", ["kept", "inline", "kept beside pyplot's"])
def test_what_is_kept_shows_nothing(outputs, name):
    assert outputs[name] == []


@pytest.mark.parametrize(("name", "text"), [("result", "64-8-10, leaky_relu"), ("device", "adc_bits")])
def test_objects_show_their_tables(outputs, name, text):
    shown = only(outputs[name]).data
    assert set(shown) == {"text/plain", "text/html"}
    assert f">{text}<" in shown["text/html"]


def test_names_and_arguments_are_completed(outputs):
    assert set(noisysim.__all__) <= set(only(outputs["names"]).text.split())
    arguments = set(only(outputs["arguments"]).text.split())
    assert {"task=", "device=", "learner=", "epochs=", "progress="} <= arguments
