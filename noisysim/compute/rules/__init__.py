"""Scalar rules that the loops of all backends share.

Each is a plain function of numbers, written once. `noisysim.compute.jit.build` compiles them with a device's hooks and
flags in them for the backend that asks; as they stand, they are those of the ideal device.
"""
