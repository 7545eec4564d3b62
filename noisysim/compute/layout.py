"""What the loops of every backend agree on: where things are in tables and buffers, and the streams of noise."""

# Columns of `table`, one row per layer. A layer's tiles follow each other, slice by slice, the most significant first.
# What it is driven with and its activities are counted in values per sample: all positions.
N_IN, N_OUT, FIRST_TILE, TILES, INPUTS_AT, ACTIVITIES_AT, CELLS_AT, ROTATION_AT, ROWS_AT = range(9)
TABLE = 9
# Columns of `geometry`, one row per layer. What its arrays see of the image below (kernel 0: all of it, no image); the
# positions of its own lines; what the periphery makes of them: pooling (window 0: none), and what it gives on. Of two
# columns for one thing the second, with an X, is along a row.
KERNEL, KERNEL_X, STRIDE, STRIDE_X, DILATION, DILATION_X, MARGIN, MARGIN_X = range(8)
HEIGHT, WIDTH, CHANNELS, POSITIONS, GRID_HEIGHT, GRID_WIDTH = range(8, 14)
POOL, POOL_X, POOL_STRIDE, POOL_STRIDE_X, POOLED_HEIGHT, POOLED_WIDTH = range(14, 20)
LINES, OUTPUTS, ACTIVATION, NORM_AT, MASK_AT = range(20, 25)
# of the second array of a recurrent layer: which cell it is, and its units
CELL_KIND, CELL_UNITS = range(25, 27)
# where its weights are: on arrays, or in digital memory; of a gain what drives it is never decorrelated
HELD = 27
GEOMETRY = 28
ON_ARRAYS, DIGITAL, GAIN = range(3)
NO_CELL, RNN, LSTM, GRU, GRU_RESET_BEFORE = range(5)
# Columns of `tiles`, one row per tile: the array columns it holds, where its weights and its converters start.
TILE_FROM, TILE_TO, TILE_AT, TILE_COLUMNS = range(4)
TILE = 4
# Columns of `steps`, one row per periphery step of a plan, in order: which function, of whose layer it is, which value
# it reads, which it writes, what it takes besides, and where that is: a second value, or constants, with their rows and
# columns; where in `numbers` its own are, and how many: those of a layer are its row of `geometry`.
STEP_FUNCTION, STEP_LAYER, STEP_FROM, STEP_TO, STEP_WITH, STEP_MORE, STEP_ROWS, STEP_COLUMNS = range(8)
STEP_NUMBERS, STEP_COUNT = range(8, 10)
STEP = 10
WITH_NOTHING, WITH_NORM, WITH_MASK, WITH_DRIVE, WITH_VALUE, WITH_CONSTANTS = range(6)
# Columns of `groups`, one row per layer: its steps, the first and behind the last, the value that its arrays take,
# the value that a recurrent layer writes, and whether the last step unfolds images.
FIRST_STEP, LAST_STEP, SOURCE, STATE, UNFOLDS = range(5)
GROUP = 5
# Columns of `values`, one row per value of a plan. The first is the network's input, then come the lines of each layer,
# then what steps write: values a sample, and where these are in the work array; or among those that are kept for later
# layers, and before which layer they are written.
VALUE_SIZE, VALUE_AT, VALUE_KEPT = range(3)
VALUE = 3
# Columns of `factors`, one row per layer of an update that is given as factors: where its signals, its inputs and its
# rows of them start, of all chips; how many rows each chip has; and four of its groups of channels (`together` of
# `noisysim.compute.rules.cells`).
SIGNALS_AT, DRIVEN_AT, FACTORS_AT, FACTORS_EACH, GROUPS_AT = range(5)
# What a drive adds, where: last axis of the table of places.
ON_LINE, ON_OUTPUT, ON_WEIGHTS = range(3)
ADDED = 3
# Kinds of noise stream: the top bits of a counter's last word.
NORMAL_STREAM, UNIFORM_STREAM, WRITE_STREAM, OWN_STREAM, ROUNDING_STREAM = range(5)
CELL_STREAM, CELL_UNIFORM_STREAM, STATE_STREAM, REFRESH_STREAM, VERIFY_STREAM, DROP_STREAM = range(5, 11)
READ_STREAM = 11  # a controller's reads of cells
COLUMN_STREAM, ROW_STREAM = 12, 13  # of pulse trains
APPEAR_STREAM = 15

LEAST_SCALE = 1e-30  # a full scale below it counts as zero: codes over it, and its inverse, must be float32 numbers
LEAST_MOMENT = 1e-36
"""Moments of optimizers below it count as zero: they are on their way to float32's subnormal numbers, slow ones."""
CELL_BLOCK = 1024  # weights that are written together, with one counter of write noise
