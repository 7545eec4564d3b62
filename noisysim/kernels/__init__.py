"""The loops, one file a backend, and the builder that plugs a device's scalar functions into them."""
