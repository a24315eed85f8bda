"""Makes C of the compiled modules: of those whose source, or any .pxd that it uses, is newer than their C file.

Run by the build (CMakeLists.txt). Cython follows the cimports; what it was asked last time
is kept in a file, so that other options or another Cython make everything anew.
"""

import argparse
import os
from pathlib import Path

import Cython
from Cython.Build import cythonize
from setuptools import Extension

SHARED = "minikv._cython"  # the module of what Cython would else put into each one
DIRECTIVES = {"emit_code_comments": False, "auto_pickle": False}  # a fifth of the C, and nobody needs either


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", type=Path, required=True, help="file with a path on each line")
    parser.add_argument("--output", type=Path, required=True, help="directory of the C files")
    parser.add_argument("--annotate", action="store_true", help="an HTML page beside each C file")
    arguments = parser.parse_args()
    os.chdir(Path(__file__).parents[1])
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "started").touch()
    asked = f"{Cython.__version__} {DIRECTIVES} {arguments.annotate}"
    remembered = arguments.output / "options.txt"
    cythonize(
        [
            *(extension(Path(line)) for line in arguments.modules.read_text().split()),
            Extension(SHARED, [SHARED.replace(".", "/") + ".c"]),
        ],
        nthreads=len(os.sched_getaffinity(0)),
        build_dir=str(arguments.output),
        language_level=3,
        compiler_directives=DIRECTIVES,
        shared_utility_qualified_name=SHARED,
        annotate=arguments.annotate,
        force=not remembered.exists() or remembered.read_text() != asked,
        quiet=True,
    )
    remembered.write_text(asked)


def extension(source: Path) -> Extension:
    return Extension(".".join(source.with_suffix("").parts), [str(source)])


if __name__ == "__main__":
    main()
