"""The snapshot child; all of it is C."""
