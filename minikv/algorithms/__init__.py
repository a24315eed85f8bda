"""Pure functions on bytes and numbers: bits, geohashes, decimal text, sorting in parts."""
