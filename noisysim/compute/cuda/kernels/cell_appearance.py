"""What cells show of their state, as in `noisysim.compute.cpu.loops.cell_appearance`."""

from noisysim.compute.cuda.kernels.draws import stream_word, unit_normal
from noisysim.compute.cuda.kernels.target import device
from noisysim.compute.layout import APPEAR_STREAM, CELL_BLOCK
from noisysim.compute.rules.device import appeared, with_cell
from noisysim.compute.rules.flags import APPARENT


@device
def show(cells, side, k, drawn, draw, keys, d):
    """After an update changed the state of a cell of side k: what it shows."""
    now, fresh, _, own, _, _ = cells
    j, block, number, layer, chip = draw
    if APPARENT:
        stream = stream_word(APPEAR_STREAM, layer, 0)
        z = unit_normal(side * CELL_BLOCK + j, drawn, block, number, stream, keys, chip)
        now[side, k] = appeared(fresh[side, k], z, with_cell(d, own, side * now.shape[1] + k))
