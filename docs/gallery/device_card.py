"""
A device card
=============

All that a device does, in one picture, measured on small chips of it: what goes in and comes out, the noise of a read,
how far writes miss, how cells age. The red lines are the laws that the device declares. ``noisysim devices show pcm``
draws the same; what each panel measures: :doc:`/looking-at-devices`.
"""

import noisysim

noisysim.plot.device("pcm:compensation=1", seed=0)
