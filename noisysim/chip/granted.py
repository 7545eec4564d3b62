"""What a chip shows to whoever was granted oracle access: its weights, its cells, and true gradients."""

from __future__ import annotations

import os

import noisysim.devices as devices
from noisysim.chip.oracle import Oracle
from noisysim.chip.shown_cells import Cells
from noisysim.chip.state import State
from noisysim.common import writing
from noisysim.common.arguments import argument
from noisysim.common.fields import check_switch, shown
from noisysim.common.types import Array
from noisysim.compute.observation import Batch
from noisysim.devices.contract import Device
from noisysim.networks import exporting, named_weights
from noisysim.networks.architecture import Architecture


class Granted:
    """The part of a `noisysim.Chip` that answers to a grant alone."""

    device: Device
    architecture: Architecture
    chips: int
    _hidden: State
    _oracle: bool

    def oracle(self, batch: Batch | None) -> Oracle:
        """Access no real chip gives: exact weights and, of a batch, true gradients."""
        self._check_grant("grants no oracle access: ask for it")
        if batch is not None and not isinstance(batch, Batch):
            raise TypeError(f"the oracle is asked for a task's batch, or for weights alone by None, not {shown(batch)}")
        weights, rotations = self._hidden.weights.now(), self._hidden.rotations
        return Oracle(weights, rotations, self.architecture, batch, self.chips, self._hidden.turns_updates)

    def cells(self) -> list[Cells]:
        """Access no real chip gives: a copy of what each layer's cells hold now, one `Cells` per layer on arrays."""
        self._check_grant("does not show its cells: ask for them")
        return self._hidden.arrays.seen_at(self._hidden.clock)

    def weights(self) -> dict[str, Array]:
        """Access no real chip gives: the weights of the plain network that does what this chip does without noise.

        What the arrays hold now, times their scales; of a chip whose inputs are turned W R. Not in it:
        converters, and what a periphery that compensates for drift scales the lines by. The chip itself stays as it is.

        Returns
        -------
        dict of numpy.ndarray
            float32, by name, layer by layer: ``"0.weight"``, (n_out, n_in), of a convolution (out, in, kernel, kernel);
            ``"0.bias"``, (n_out,), where there is one; of batch normalisation the running ``"0.running_mean"`` and
            ``"0.running_var"``, (n_out,), float64. A dense layer behind a convolution takes the image channel by
            channel, as after ``torch.nn.Flatten``. Of several chips each array has one more axis first, the chips.

        Raises
        ------
        PermissionError
            For a chip that was made without ``oracle=True``.

        Examples
        --------
        >>> import noisysim
        >>> chip = noisysim.Chip([64, 16, 10], "pcm", bias=True, oracle=True)
        >>> {name: array.shape for name, array in chip.weights().items()}
        {'0.weight': (16, 64), '0.bias': (16,), '1.weight': (10, 16), '1.bias': (10,)}
        """
        self._check_grant("does not show its weights: ask for them")
        hidden, net = self._hidden, self.architecture
        with hidden.arrays.standing_at(hidden.clock):
            oracle = self.oracle(None)
        take, parts = hidden.backend.take, hidden.normalisation.parts
        matrices = [take(weights) for weights in oracle.plain_weights()]
        of_layers = parts(take(hidden.normalisation.statistics))
        statistics = [None if one is None else one.reshape(2, self.chips, -1) for one in of_layers]
        named = named_weights.as_named(net, matrices, statistics)
        return named if self.chips > 1 else {name: array[0] for name, array in named.items()}

    def to_onnx(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Access no real chip gives: write an ONNX model that does what this chip does without noise.

        Its weights are those of `weights`; it takes samples as the chip is given them, standardised, in the shape of
        the network's input, and gives what `predict` gives on exact hardware. Dropout and converters are not in it.

        Parameters
        ----------
        path : path
        overwrite : bool
            Replace an existing file.

        Raises
        ------
        PermissionError
            For a chip that was made without ``oracle=True``.
        ValueError
            For several chips, and for a network that ONNX's operators do not tell.
        ImportError
            Without the package onnx.
        FileExistsError, OSError
            If there is a file, or it cannot be written.
        """
        self._check_grant("does not show its weights: ask for them")
        if self.chips > 1:
            raise ValueError(f"a model is of one chip, not of {self.chips}")
        content = exporting.model(self.architecture, self.weights())
        with writing.hold(path, check_switch("overwrite", overwrite)) as file:
            file.write(content)

    def _check_grant(self, refusal: str) -> None:
        if not self._oracle:
            raise PermissionError(
                f"device {devices.name_of(self.device)!r} {refusal} by name with {argument('oracle=True')}"
            )
