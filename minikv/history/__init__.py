"""Histories: a base, layers of what changed, and the manifest that lists them."""
