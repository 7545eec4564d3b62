"""
A network in one picture
========================

Blue boxes are layers of weights: arrays of cells, here tiles of at most 256 rows, with the normalisation and activation
function that the periphery applies to their lines. Red ones are what it computes between them. Branches stand side by
side. ``noisysim networks show resnet-8 --device crossbar:tile_rows=256 --plot resnet-8.png`` draws the same, and
prints it as a table. Layers and branches: :doc:`/networks`.
"""

import noisysim

resnet = noisysim.layers.NAMED["resnet-8"]
chip = noisysim.Chip([resnet.input_shape, *resnet, resnet.n_out], "crossbar:tile_rows=256")
noisysim.plot.network(chip.network)
