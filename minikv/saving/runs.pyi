"""Runs of records that need not be made again; all of it is C."""
