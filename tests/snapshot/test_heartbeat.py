"""Stalls of the event loop are noticed, what came before the first beat included."""

from __future__ import annotations

import asyncio
import time

from minikv.snapshot.heartbeat import Heartbeat


def test_a_stall_between_beats_is_noticed() -> None:
    async def stall() -> float:
        heartbeat = Heartbeat(time.perf_counter())
        heartbeat.start(asyncio.get_running_loop())
        await asyncio.sleep(0.02)
        time.sleep(0.1)
        await asyncio.sleep(0.02)
        heartbeat.stop()
        return heartbeat.worst_s

    assert asyncio.run(stall()) >= 0.09


def test_what_began_before_counts() -> None:
    async def begun() -> float:
        heartbeat = Heartbeat(time.perf_counter() - 0.5)
        heartbeat.start(asyncio.get_running_loop())
        await asyncio.sleep(0.01)
        heartbeat.stop()
        return heartbeat.worst_s

    assert asyncio.run(begun()) >= 0.5
