"""The act of saving, in C on inherited memory: the fork, the child, the dump file, and saves in the foreground."""
