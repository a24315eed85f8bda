"""`python -m minikv` and `minikv-server`: what must hold before anything else is imported, then the command line."""

import sys

if sys.platform != "linux":
    sys.exit(f"minikv-server: minikv needs Linux (fork, madvise and /proc are its business); this is {sys.platform}.")

try:
    from minikv.command_line import main
except ImportError as error:
    if not (error.name or "").startswith("cython"):
        raise
    sys.exit(
        "minikv-server: the engine is not compiled; install minikv with pip, "
        "or run 'python setup.py build_ext --inplace' in its checkout."
    )

if __name__ == "__main__":
    sys.exit(main())
