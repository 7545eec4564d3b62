"""What cells show of their state: noise of writes that does not add up, since pulses start from the state."""

from noisysim.compute.cpu.cell_types import DRAWN, MINE, OUT, OWN, G
from noisysim.compute.cpu.loops.cell_ageing import put
from noisysim.compute.cpu.loops.cell_places import gather_own
from noisysim.compute.cpu.loops.cell_writes import draw_side
from noisysim.compute.cpu.row_types import APPEAR, TYPES
from noisysim.compute.jit.compiling import bare
from noisysim.compute.jit.places import float_rows_at, floats_at, ints_at
from noisysim.compute.layout import APPEAR_STREAM, CELL_BLOCK

appear_row = TYPES[APPEAR].call


@bare()
def appear_listed(kit, k, m):
    """After an update changed the states of the m cells of side k in ``MINE``: what they show, but for stuck ones."""
    a, n, mine = kit.at + kit.first, kit.count, ints_at(kit.work, MINE, m)
    states, g, out = floats_at(kit.fresh, k * kit.cells + a, n), floats_at(kit.work, G, m), floats_at(kit.work, OUT, m)
    for i in range(m):
        g[i] = states[mine[i]]
    draw_side(k, m, APPEAR_STREAM, 0, kit)
    gather_own(k, a, mine, m, kit)
    own, z = float_rows_at(kit.work, kit.fields, CELL_BLOCK, OWN, m), floats_at(kit.work, DRAWN, m)
    appear_row(kit.appearing, (g, z, own, out, floats_at(kit.appearing_numbers, 0, kit.numbers_size)))
    put(mine, out, k, kit)
