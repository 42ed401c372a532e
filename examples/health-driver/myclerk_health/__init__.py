"""A sample driver of a third party: the health of a board (docs/drivers.md walks through it)."""
