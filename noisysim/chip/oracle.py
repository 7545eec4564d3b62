"""Oracle access: what no real chip gives, asked for by name. Backpropagation and the diagnostics are made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from noisysim.common.types import Floats
from noisysim.compute import algebra, backends, grouping, nodes, periphery, recurrence
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Batch, Drive, Observation
from noisysim.networks.architecture import Architecture


class Oracle:
    """Exact weights and true gradients of one chip, or of a stack of them, for one batch.

    Attributes
    ----------
    weights : list of array
        Copies of what the arrays hold now, (n_out, n_in) per layer; of several chips (chips n_out, n_in).
    rotations : list of array
        Copies of the decorrelation matrices, (n, n) per layer, of several chips (chips n, n); empty if there are none.
    turns_updates : bool
        Whether they turn updates, and the arrays are driven with inputs as they are.
    """

    def __init__(
        self, weights: Sequence[Any], rotations: Sequence[Any], net: Architecture, batch: Batch | None, chips: int = 1,
        turns_updates: bool = False,
    ):  # fmt: skip
        self.weights = weights
        self.rotations = [r.copy() for r in rotations]
        self.turns_updates = turns_updates
        self._net, self._chips = net, chips
        backend = backends.backend_of(weights[0])
        self._xp, self._put = backend.xp, backend.put
        self._batch: Any = batch

    def plain_weights(self) -> list[Any]:
        """Weights of the network that does the same without decorrelation, (chips, n_out, n_in): W R, biases as are.

        Where matrices turn updates, the arrays hold that already.
        """
        plain = [weights.reshape(self._chips, -1, weights.shape[1]).copy() for weights in self.weights]
        for weights, rotation in zip(plain, [] if self.turns_updates else self.rotations, strict=False):
            n = rotation.shape[1]
            if not n:
                continue
            weights[..., :n] = self._xp.matmul(weights[..., :n], rotation.reshape(self._chips, n, n))
        return plain

    def chip(self, m: int) -> Oracle:
        """The oracle of the m-th of several chips."""

        def of_chip(arrays: Sequence[Any]) -> list[Any]:
            return [a.reshape(self._chips, -1, *a.shape[1:])[m] for a in arrays]

        (targets,) = of_chip([self._put(self._batch.targets)])
        batch = Batch(targets, targets, self._batch.loss)  # the inputs are not needed
        return Oracle(of_chip(self.weights), of_chip(self.rotations), self._net, batch, 1, self.turns_updates)

    def signals(self, observation: Observation, error: Floats | None = None) -> Layered:
        """dL/da of each layer and sample, in the shapes of an observation's activities, and at these.

        The backward pass is exact; quantisation is passed straight through.

        Parameters
        ----------
        observation : Observation
        error : array, optional
            (batch, n_out), to be brought back in place of the true output error.
        """
        if error is None:
            if self._batch.loss.error is None:
                raise ValueError(f"the loss {self._batch.loss.name!r} has no derivative: there is no true gradient")
            targets = self._put(self._batch.targets)
            error = self._batch.loss.output_error(observation.output, targets)
        return nodes.brought_back(self._net, self._maps, self._put(error), observation, self._chips)

    def gradient(self, observation: Observation, out: Layered | None = None) -> Layered:
        """The true gradient of each chip's mean loss over its batch, in the shapes of the weights."""
        term = algebra.Term(self._xp.ones(len(observation.output)), self.signals(observation))
        gradient = algebra.outer([term], observation.inputs, out, chips=self._chips)
        if self._net.is_grouped:
            grouping.mask(self._net, gradient)
        return gradient

    def tangent(self, observation: Observation, drive: Drive) -> Any:
        """Directional derivative of the output, (batch, n_out) float32, along what a drive would add.

        Forward-mode differentiation (Bacho & Chu 2024, algorithms 1 to 3), at the activities of an observation.
        """
        nothing = [None] * len(self.weights)
        lines, outputs, beside = (part or nothing for part in (drive.perturbations, drive.outputs, drive.weights))
        net, between = self._net, nodes.Nodes(self._net, observation, self._chips)
        moved, changes = dict[int, Any](), list[Any]()
        for layer in range(net.depth):
            self._move_nodes(layer, changes, moved, outputs, between)
            change = self._xp.zeros_like(observation.activities[layer])
            if net.learned[net.source(layer)] and not net.blocks[layer].recurrence:
                seen = periphery.unfold(net, layer, moved[net.source(layer)])
                change += algebra.product(seen, self._maps(layer)[::-1], chips=self._chips, transposed=True)
            if (extra := beside[layer]) is not None:
                beside_it = [self._put(extra)]
                change += algebra.product(observation.inputs[layer], beside_it, chips=self._chips, transposed=True)
            if (line := lines[layer]) is not None:
                change += self._put(line)
            if net.blocks[layer].recurrence:
                steps = recurrence.Steps(net, layer, observation)
                first = moved[net.source(layer)].reshape(len(change), steps.count, -1)
                change, moved[1 + layer] = steps.push(first, change, self._maps(layer)[::-1], self._chips)
            changes.append(change)
        self._move_nodes(net.depth, changes, moved, outputs, between)
        return moved[net.output] if net.has_tail else changes[-1]

    def _move_nodes(
        self, layer: int, changes: Sequence[Any], moved: dict[int, Any], outputs: Sequence[Any], between: nodes.Nodes
    ) -> None:
        """Put into `moved` the changes of the nodes that are due before a layer."""
        net = self._net
        for node in net.due[layer]:
            if node > net.depth:
                moved[node] = between.push(node, moved)
                continue
            if not net.blocks[node - 1].recurrence:  # whose outputs moved with its lines
                moved[node] = periphery.push(net, node - 1, changes[node - 1], between.observation, chips=self._chips)
            if (output := outputs[node - 1]) is not None:
                moved[node] = moved[node] + self._put(output).reshape(moved[node].shape)

    def _maps(self, layer: int) -> list[Any]:
        """The matrices between what a layer sees and its lines, from the lines down: W, then R; or A = W R."""
        weights = self.weights[layer][:, : self._net.fan_in[layer]]
        turned = self.rotations and not self.turns_updates and self.rotations[layer].size
        return [weights, self.rotations[layer]] if turned else [weights]
