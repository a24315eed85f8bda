"""When to save and what it cost: preflight, the running snapshot and its figures, history, retries, and loading."""
