"""The commands that list published networks, and show what a network is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import cyclopts

from noisysim import devices, tasks
from noisysim.cli.app import Json, app
from noisysim.cli.json_output import print_json
from noisysim.cli.lists import print_table
from noisysim.devices.resolved import resolve
from noisysim.networks import layers as kinds
from noisysim.networks.building import with_ends
from noisysim.networks.importing import models
from noisysim.networks.importing.imported import Imported
from noisysim.networks.summary import Part, in_words, shape_in_words, summary
from noisysim.networks.tiling import Network, network
from noisysim.reporting import plot as plots

networks_app = cyclopts.App(
    name="networks", help="List the published networks that --layers takes by name, or show what a network is made of."
)
app.command(networks_app)


@networks_app.default
def list_networks(*, json: Json = False) -> None:
    """List the published networks that ``--layers`` takes by name, with their hidden layers."""
    if json:
        print_json([_plain(name, named) for name, named in kinds.NAMED.items()])
        return
    rows = [(name, str(named), named.source) for name, named in kinds.NAMED.items()]
    print_table(("name", "hidden layers", "source"), rows)


@networks_app.command(name="show")
def show_network(
    *layers: str,
    task: str | None = None,
    input: Annotated[list[int] | None, cyclopts.Parameter(consume_multiple=True, negative="")] = None,
    outputs: int | None = None,
    activation: str = "leaky_relu",
    bias: bool = False,
    device: str = "ideal",
    data: Path | None = None,
    plot: Path | None = None,
    json: Json = False,
) -> None:
    """Show what a network is made of: a table of its array layers and of what the periphery does, or a drawing too.

    Parameters
    ----------
    layers : str
        Hidden layers, as of run, or the name of a published network, or a model from elsewhere "model.onnx".
    task : str
        Whose input and outputs it has. Default: of a published network those that it was published with, of a model
        its own, else digits.
    input : list of int
        In place of a task's input: a number of inputs, or channels, height and width of an image.
    outputs : int
        In place of a task's outputs.
    activation : str
        Activation function of layers that name none.
    bias : bool
        Give every unit a bias.
    device : str
        Whose arrays it is cut into: a device or a preset, by name or file, with settings.
    data : Path
        Folder of a task's data files.
    plot : Path
        Picture file for a drawing.
    """
    if plot is not None:
        plots.check_writable(plot)
    model = models.opened(layers)
    hidden = kinds.hidden(list(layers)) if model is None else model.hidden()
    named = kinds.NAMED.get(layers[0]) if len(layers) == 1 else None
    shape, n_out = _ends(named if model is None else model, task, input, outputs, data)
    if model is not None:
        model = model.fitted(shape, n_out)
        hidden, bias = model.hidden(), bias or model.bias
    net: Network = network(with_ends(shape, hidden, n_out), activation, bias, resolve(devices.get(device)))
    parts, notes = summary(net), [] if model is None else list(model.notes)
    names = {part.node: part.name for part in parts}
    products = sum(part.products for part in parts)
    if plot is not None:
        plots.network(net, plot)
    if json:
        described = [{**part._asdict(), "sources": [names[source] for source in part.sources]} for part in parts]
        print_json({"parts": described, "products": products, "notes": notes, "plot": plot})
        return
    print(f"{in_words(parts)}, {products:,} MACs a sample\n")
    print_table(HEADINGS, [_row(part, names) for part in parts])
    if notes:
        print("\n" + "\n".join(notes))
    if plot is not None:
        print(f"\n{plot}")


def _plain(name: str, named: kinds.Named) -> dict[str, Any]:
    """A published network for JSON."""
    return {
        "name": name, "summary": str(named), "source": named.source, "layers": kinds.plain(named),
        "activation": named.activation, "input_shape": named.input_shape, "outputs": named.n_out,
    }  # fmt: skip


HEADINGS = ("part", "what it is", "sees", "gives", "arrays", "cells", "weights", "MACs")
"""Columns of the table: products of a sample and weights that can change are counted, MACs of idle cells are not."""


def _ends(
    own: kinds.Named | Imported | None,
    task: str | None,
    input: Sequence[int] | None,
    outputs: int | None,
    data: Path | None,
) -> tuple[tuple[int, ...], int]:
    """Shape of the input, and number of outputs: as given, of the published network or the model, or of the task."""
    if input is not None and outputs is not None:
        return tuple(input), outputs
    ends = own if own is not None and task is None else tasks.get(task or "digits", data=data)
    return tuple(ends.input_shape if input is None else input), ends.n_out if outputs is None else outputs


def _row(part: Part, names: Mapping[int, str]) -> tuple[str, ...]:
    """A row of the table; what has no weights has no numbers of them."""
    numbers = (part.arrays, part.cells, part.weights, part.products)
    return (
        part.name, part.text, ", ".join(names[source] for source in part.sources), shape_in_words(part.shape),
        *(f"{number:,}" if part.weights else "" for number in numbers),
    )  # fmt: skip
