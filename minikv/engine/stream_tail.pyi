"""Its functions are for compiled code."""
