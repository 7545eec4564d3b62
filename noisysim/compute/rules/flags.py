"""Properties of a device that its loops are compiled for: where a flag is false, its branch is compiled away."""

# Hooks that the device has
HAS_DAC = False
HAS_CURRENT = False
HAS_ADC = False
HAS_CELL_STD = False
HAS_READ_CELL = False
HAS_JUMP = False
HAS_DRIFT = False

# Cells
PAIRED = True  # two cells per weight
VERIFIED = False  # writes are closed loops of pulses and reads
OWN_CELLS = False  # cells have values of their own, where they are read one by one
FAULTY = False  # some cells are stuck
TIMED = False  # the age of a cell matters
APPARENT = False  # cells show something else than what writes and pulses left
AIMED = False  # what the last write of a cell aimed at matters
ROUNDS = False  # the controller keeps targets of few bits
ACCUMULATES = False  # the controller keeps what is left of changes

# Lines
OWN_ROWS = False  # input lines have values of their own
OWN_COLUMNS = False  # output lines have values of their own
COMPENSATED = False  # the periphery makes up for drift
SCALED = False  # output lines stand for weights of scales of their own

# Noise that the hooks read
USES_NORMAL = False
USES_UNIFORM = False
CELL_NORMAL = False
CELL_UNIFORM = False
