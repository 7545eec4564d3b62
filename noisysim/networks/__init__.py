"""Networks: layers, what follows from a list of them, and how their weights lie on arrays."""
