"""Texts for people: MEMORY DOCTOR, LATENCY DOCTOR, INFO's human figures, LOLWUT's picture."""

from __future__ import annotations

import dataclasses

import pytest

from minikv.commands import latency, memory
from minikv.commands.art import garden
from minikv.commands.info import Lines, chosen_sections, field_word
from minikv.commands.memory_figures import MemoryFigures, human
from minikv.latency import Event, Sample

MB = 1 << 20
HEALTHY = MemoryFigures(
    startup=0,
    interpreter=20 * MB,
    claimed=99 * MB,
    deferred=0,
    keyspace=100 * MB,
    keyspace_peak=99 * MB,
    live=85 * MB,
    index=10 * MB,
    clients=MB,
    fixed=MB,
    scripts=0,
    arena_reserved=1000 * MB,
    arena_used=88 * MB,
    resident=130 * MB,
    machine=8000 * MB,
)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1.00K"),
        (1536, "1.50K"),
        (MB, "1.00M"),
        (5 * 1024**3, "5.00G"),
        (1024**4, "1.00T"),
        (5000 * 1024**5, "5000.00P"),
    ],
)
def test_human_sizes(size: int, text: str) -> None:
    assert human(size) == text


def test_figures_add_up() -> None:
    assert HEALTHY.used == HEALTHY.overhead + HEALTHY.dataset
    assert HEALTHY.dataset_percent == 89 and HEALTHY.peak_percent == 100
    held = dataclasses.replace(HEALTHY, deferred=7 * MB)
    assert held.used - held.not_counted == HEALTHY.used - HEALTHY.not_counted == 99 * MB
    assert HEALTHY.interpreter + HEALTHY.own_resident == HEALTHY.resident


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "No problem"),
        ({"claimed": MB, "clients": 0}, "hardly any data"),
        ({"keyspace_peak": 400 * MB}, "The peak was 401.00M"),
        ({"claimed": 40 * MB}, "for 41.00M of live data"),
        ({"resident": 300 * MB}, "300.00M resident"),
        ({"clients": 50 * MB}, "10 clients hold 50.00M"),
    ],
)
def test_memory_doctor(changes: dict[str, int], word: str) -> None:
    assert word in memory.diagnosis(dataclasses.replace(HEALTHY, **changes), 10, lambda: 1)


@pytest.mark.parametrize(("mode", "told"), [(0, True), (1, False), (2, True), (-1, False)])
def test_memory_doctor_looks_at_overcommit(mode: int, told: bool) -> None:
    assert ("vm.overcommit_memory" in memory.diagnosis(HEALTHY, 1, lambda: mode)) == told


def test_latency_doctor_gives_each_advice_once() -> None:
    events = {name: Event() for name in ("command", "fork", "expire-cycle", "expire-cycle-2", "new-event")}
    for event in events.values():
        event.add(Sample(100, 50))
    text = latency.diagnosis(events, 10, 110.0)
    assert "1. command: 1 spikes (average 50 ms, mean deviation 0 ms, period 10.00 s). Worst ever 50 ms." in text
    advice = [line for line in text.splitlines() if line.startswith("- ")]
    assert len(advice) == len(set(advice)) == 5


def test_latency_doctor_without_events() -> None:
    assert "is off" in latency.diagnosis({}, 0, 1.0)
    assert "No delay of 10 ms" in latency.diagnosis({}, 10, 1.0)


def test_sections() -> None:
    assert chosen_sections(set()) == chosen_sections({"default"}) == chosen_sections({"default", "nonesuch"})
    assert "commandstats" not in chosen_sections(set())
    assert chosen_sections({"all"}) == chosen_sections({"everything"}) >= {"commandstats", "latencystats", "modules"}
    assert chosen_sections({"cpu", "nonesuch"}) == {"cpu"} and chosen_sections({"nonesuch"}) == set()


def test_a_section_is_lines() -> None:
    lines = Lines()
    lines.add_section("cpu", {"a": 1, "b": 0.126, "c": "x"})
    assert lines.taken() == b"# CPU\r\na:1\r\nb:0.13\r\nc:x\r\n"


def test_lines_of_any_length_and_any_number() -> None:
    fields = {"n": -(1 << 63), "f": -1.5e300, "path": "\udcff" * 5000, "x" * 5000: "y" * 9000, "": ""}
    shown = [f"{name}:{value:.2f}" if isinstance(value, float) else f"{name}:{value}" for name, value in fields.items()]
    lines = Lines()
    for section in ("a", "b"):
        lines.add_section(section, fields | {f"field_{each}": each for each in range(1000)})
    shown += [f"field_{each}:{each}" for each in range(1000)]
    texts = ["".join(line + "\r\n" for line in [f"# {title}", *shown]) for title in ("A", "B")]
    assert lines.taken() == "\r\n".join(texts).encode("utf-8", "surrogateescape")
    assert lines.taken() == b""


def test_an_error_code_cannot_break_a_field() -> None:
    assert field_word(b"E:R,R=\r\n") == "E_R_R___"


@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (64, 12), (1000, 3)])
def test_the_garden_fills_its_frame(columns: int, rows: int) -> None:
    lines = garden(columns, rows, seed=1).removesuffix("\n").split("\n")
    assert [len(line) for line in lines] == [columns] * rows
    assert all(0x2800 <= ord(character) < 0x2900 for line in lines for character in line)
    assert any(character != "\u2800" for character in lines[-1])
