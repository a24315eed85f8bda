"""The file that a save writes; all of it is C."""
