"""`python -m benchmarks`."""

import sys

try:
    from benchmarks.command_line import main
except ModuleNotFoundError as error:
    sys.exit(f"the benchmarks need {error.name}: pip install -e '.[lab]'")

if __name__ == "__main__":
    sys.exit(main())
