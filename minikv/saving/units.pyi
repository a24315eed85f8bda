"""Which blocks a dump has; all of it is C."""
