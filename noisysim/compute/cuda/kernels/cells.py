"""Kernels that change cells, by programming, by pulses and by time: those that Python calls."""

from noisysim.compute.cuda.kernels.cell_ageing import age_cells as age_cells
from noisysim.compute.cuda.kernels.cell_pulses import PULSERS as PULSERS
from noisysim.compute.cuda.kernels.cell_pulses import mean_cells as mean_cells
from noisysim.compute.cuda.kernels.cell_pulses import pulse_cells as pulse_cells
from noisysim.compute.cuda.kernels.cell_pulses import train_cells as train_cells
from noisysim.compute.cuda.kernels.cell_weights import wire_cells as wire_cells
from noisysim.compute.cuda.kernels.cell_writes import modify_cells as modify_cells
from noisysim.compute.cuda.kernels.cell_writes import step_cells as step_cells
from noisysim.compute.cuda.kernels.cell_writes import write_cells as write_cells
from noisysim.compute.rules.device import Numbers as Numbers
