"""What each operator of a graph becomes: a table from its type to a function of what it reads."""
