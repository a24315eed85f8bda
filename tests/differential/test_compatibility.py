"""docs/compatibility.md is what the two servers say today."""

from __future__ import annotations

import pytest

from tests.harness import Server
from tests.harness.compatibility import PAGE, minikv_version, names_of, render, stored_names

WRITE_IT = "run `python -m tests.harness.compatibility`"


def test_the_page_is_up_to_date(minikv: Server) -> None:
    """Needs no redis-server: its names are stored."""
    if minikv.name != "minikv":
        pytest.skip("the page is about minikv")
    assert PAGE.read_text() == render(names_of(minikv), stored_names(), minikv_version()), WRITE_IT


def test_the_stored_names_are_those_of_redis(oracle: Server) -> None:
    assert names_of(oracle) == stored_names(), f"{WRITE_IT} --read-redis"
