"""The commands that use the trained chip of a run: test it, ask it, take its weights out."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import numpy as np

from noisysim.chip.chip import Chip
from noisysim.cli.app import SHORT_OUT, Json, Out, app
from noisysim.cli.json_output import of_scores, print_json
from noisysim.common import named_arrays, writing
from noisysim.common.fields import PATH, shown
from noisysim.common.types import Array
from noisysim.networks.importing.models import ENDING
from noisysim.runs import storage
from noisysim.runs.result import Result


@app.command(name="test")
def score(
    path: Path,
    *,
    task: str | None = None,
    n_reads: int = 1,
    wait: float = 0.0,
    device: str | None = None,
    backend: str | None = None,
    data: Path | None = None,
    json: Json = False,
) -> None:
    """Test the trained chip of a run, and print loss, accuracy or R2, and a confusion matrix.

    Parameters
    ----------
    path : Path
        Result file.
    task : str
        Task whose test split is used, standardised as the run's data were: a name, or a file such as my_test.csv with
        its targets. Default: the run's own.
    n_reads : int
        Noisy reads to average.
    wait : float
        Seconds to let the chip age before.
    device : str
        Where the run's device file is now, if it was moved.
    backend : str
        Where the chip is simulated: "cpu" or "cuda". Default: where the run was.
    data : Path
        Folder of the data files.
    """
    result = _result(path)
    chip = _aged(result, wait, device, backend)
    scores = result.test(task, n_reads=n_reads, chip=chip, data=data)
    if json:
        print_json(of_scores(scores))
    else:
        print(scores)


@app.command
def predict(
    path: Path,
    x: Path,
    *,
    out: Out = None,
    overwrite: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    n_reads: int = 1,
    proba: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    wait: float = 0.0,
    device: str | None = None,
    backend: str | None = None,
) -> None:
    """Ask the trained chip of a run about samples, and write its answers as CSV, a line a sample.

    Parameters
    ----------
    path : Path
        Result file.
    x : Path
        Samples in the units of the run's data: .csv, .tsv or .parquet (a header names columns, and is none of the
        samples), .npy, .npz or .h5.
    out : Path
        File for the answers, .csv. Default: print them.
    overwrite : bool
        Replace an existing file.
    n_reads : int
        Noisy reads to average.
    proba : bool
        Give the probability of each class instead of a label.
    wait : float
        Seconds to let the chip age before.
    device : str
        Where the run's device file is now, if it was moved.
    backend : str
        Where the chip is simulated: "cpu" or "cuda". Default: where the run was.
    """
    if out is not None:
        if out.suffix.lower() != ".csv":
            raise ValueError(f"answers are written as CSV: out must end in .csv, not {shown(str(out), PATH)}")
        writing.check(out, overwrite)
        writing.check_apart(out, {"the run": path, "the file of samples": x})
    result = _result(path)
    answers = result.predict(x, n_reads, proba=proba, chip=_aged(result, wait, device, backend))
    text = _as_csv(result, answers, proba)
    if out is None:
        sys.stdout.write(text)
    else:
        with writing.hold(out, overwrite) as held:
            held.write(text.encode())
        print(out)


@app.command
def weights(
    path: Path,
    out: Annotated[Path, SHORT_OUT],
    *,
    overwrite: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    device: str | None = None,
) -> None:
    """Write the weights that the trained chip of a run holds, by name: access that no real chip gives.

    Parameters
    ----------
    path : Path
        Result file.
    out : Path
        File for them: .safetensors or .npz; or .onnx, a model with its structure.
    overwrite : bool
        Replace an existing file.
    device : str
        Where the run's device file is now, if it was moved.
    """
    as_model = out.suffix.lower() == ENDING
    place = out if as_model else named_arrays.check_name(out)
    writing.check(place, overwrite)
    writing.check_apart(place, {"the run": path})
    chip = _result(path).chip(oracle=True, device=device)
    if as_model:
        chip.to_onnx(place, overwrite=overwrite)
    else:
        named_arrays.write(place, chip.weights())
    print(place)


def _result(path: Path) -> Result:
    return Result(storage.read(path), path)


def _aged(result: Result, wait: float, device: str | None, backend: str | None) -> Chip:
    """The trained chip, some seconds later."""
    chip = result.chip(device=device, backend=backend)
    if wait:
        chip.wait(wait)
    return chip


def _as_csv(result: Result, answers: Array, proba: bool) -> str:
    """A table of answers, a row a sample; those of several chips side by side."""
    chips = result.config.get("chips", 1)
    by_chip = answers if chips > 1 else answers[None]
    by_chip = by_chip[..., None] if by_chip.ndim == 2 else by_chip
    names = _names(result.config["task"], by_chip.shape[-1], proba)
    if chips > 1:
        names = [f"{name} (chip {m})" for m in range(chips) for name in names]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(np.moveaxis(by_chip, 0, 1).reshape(by_chip.shape[1], -1).tolist())
    return text.getvalue()


def _names(task: dict[str, Any], width: int, proba: bool) -> list[str]:
    """Names of the answers to a sample."""
    if proba:
        return [f"p({label})" for label in task.get("classes") or range(width)]
    if task["classification"]:
        return ["label"]
    targets = str(task["settings"].get("target", "")).split("+")
    return targets if targets[0] and len(targets) == width else [f"y{k}" for k in range(width)]
