# For compiled modules only: see the .pxd.
