"""What the loops of every backend agree on: where things are in tables and buffers, and the streams of noise."""

# Columns of `table`, one row per layer. A layer's tiles follow each other, slice by slice, the most significant first.
# What it is driven with and its activities are counted in values per sample: all positions.
N_IN, N_OUT, FIRST_TILE, TILES, INPUTS_AT, ACTIVITIES_AT, CELLS_AT, ROTATION_AT, ROWS_AT = range(9)
TABLE = 9
# Columns of `geometry`, one row per layer. What its arrays see of the image below (kernel 0: all of it, no image); the
# positions of its own lines; what the periphery makes of them: pooling (window 0: none), and what it gives on.
KERNEL, STRIDE, MARGIN, HEIGHT, WIDTH, CHANNELS = range(6)
POSITIONS, GRID_HEIGHT, GRID_WIDTH, POOL, POOL_STRIDE, POOLED_HEIGHT, POOLED_WIDTH = range(6, 13)
LINES, OUTPUTS, ACTIVATION, NORM_AT, MASK_AT = range(13, 18)
GEOMETRY = 18
# Columns of `tiles`, one row per tile: the array columns it holds, where its weights and its converters start.
TILE_FROM, TILE_TO, TILE_AT, TILE_COLUMNS = range(4)
TILE = 4
# Columns of `steps`, one row per periphery step of a plan, in order: which function, of whose layer its numbers are,
# which value it reads, which it writes, and what it takes besides.
STEP_FUNCTION, STEP_LAYER, STEP_FROM, STEP_TO, STEP_WITH = range(5)
STEP = 5
WITH_NOTHING, WITH_NORM, WITH_MASK, WITH_DRIVE = range(4)
# Columns of `groups`, one row per layer: its steps, the first and behind the last, and the value that its arrays take.
FIRST_STEP, LAST_STEP, SOURCE = range(3)
GROUP = 3
# Columns of `values`, one row per value of a plan. The first is the network's input, then come the lines of each layer,
# then what steps write: values a sample, and where these are in the work array.
VALUE_SIZE, VALUE_AT = range(2)
VALUE = 2
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
