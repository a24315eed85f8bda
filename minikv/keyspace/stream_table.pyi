"""Its classes are for compiled code."""
