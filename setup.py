"""Build of the compiled modules; everything else stands in pyproject.toml.

A module is compiled if its first line starts with `# cython:`. That line also names the checks which the module turns
off. MINIKV_SANITIZE=1 builds with AddressSanitizer and UndefinedBehaviorSanitizer instead of optimising (.ci/sanitize).
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).parent

OPTIMISED = ["-O3", "-g0"]
SANITIZED = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize=alignment"]
FLAGS = SANITIZED if os.environ.get("MINIKV_SANITIZE") else OPTIMISED


def compiled_modules() -> list[Extension]:
    """One extension for each marked module, named by its path."""
    marked = [path for path in sorted((ROOT / "minikv").rglob("*.py")) if path.read_text().startswith("# cython:")]
    return [
        Extension(
            ".".join(path.relative_to(ROOT).with_suffix("").parts),
            [str(path.relative_to(ROOT))],
            extra_compile_args=[
                *FLAGS,
                "-fno-strict-aliasing",
                "-Wno-unreachable-code",
                "-Werror=implicit-function-declaration",
            ],
            extra_link_args=[flag for flag in FLAGS if flag.startswith("-fsanitize")],
        )
        for path in marked
    ]


setup(
    packages=[],
    ext_modules=cythonize(compiled_modules(), compiler_directives={"language_level": 3}, nthreads=2),
    options={"build_ext": {"parallel": 2}},
)
