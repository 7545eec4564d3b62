"""The loops of the CPU backend. Each call runs in one thread, without the interpreter's lock.

The scalar functions and constants that a module imports or declares are what `build.load` replaces with a device's
own: as they stand, these modules are the ideal device with linear units.

Arrays of a whole network come as one flat buffer (see `noisysim.compute.layered`); `table` says where each layer is
in it.
"""
