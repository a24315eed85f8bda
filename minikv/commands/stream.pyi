"""Its functions are commands."""
