"""A save; all of it is C."""
