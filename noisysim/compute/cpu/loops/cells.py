"""Loops that change cells, by programming, by pulses and by time: those that Python calls."""

from noisysim.compute.cpu.loops.cell_ageing import age_chips as age_chips
from noisysim.compute.cpu.loops.cell_pulses import pulse_chips as pulse_chips
from noisysim.compute.cpu.loops.cell_weights import add_chips as add_chips
from noisysim.compute.cpu.loops.cell_weights import add_variances as add_variances
from noisysim.compute.cpu.loops.cell_writes import write_chips as write_chips
from noisysim.compute.rules.device import Numbers as Numbers
