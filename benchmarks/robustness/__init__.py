"""What learning survives on hardware: rules against devices, and against what is wrong with them."""
