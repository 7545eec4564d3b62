"""Laws of devices: plain functions of numbers, compiled where they are used, by CPU and CUDA loops alike.

No arrays, no exceptions, no explicit signatures. Literals are written as float32 constants: one float64
literal turns a whole loop into float64 and halves its speed.
"""
