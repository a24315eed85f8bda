"""Redis's own test suite, run against minikv. `python -m tests.conformance --help` says how."""
