"""Models from elsewhere: a graph of operators becomes a list of layers, with weights."""
