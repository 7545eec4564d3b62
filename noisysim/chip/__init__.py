"""The chip: cells, fabrication, ageing, calibration, cost, oracle access; and instruments that look at chips."""
