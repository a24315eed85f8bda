"""`python -m minikv` and `minikv-server`: what must hold before anything else is imported, then the command line."""

import sys

if sys.platform != "linux":
    sys.exit(f"minikv-server: minikv needs Linux (fork, madvise and /proc are its business); this is {sys.platform}.")

try:
    import minikv.engine  # noqa: F401  (raises if it is not compiled)
except ImportError as error:
    sys.exit(f"minikv-server: {error}")

from minikv.command_line import main

if __name__ == "__main__":
    sys.exit(main())
