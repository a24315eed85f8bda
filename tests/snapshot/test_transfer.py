"""Transfers: what readers get, in which order, and which of them are closed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from minikv.snapshot.transfer import HOLDS_UP_S, WINDOW_BYTES, FileTransfer, PipeTransfer, Reader, Transfer
from tests.snapshot.test_loader import Lines


class Peer:
    """A connection whose socket takes `room` bytes."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.room = room
        self.taken = bytearray()
        self.is_closed = False
        self.on_close: Callable[[], object] | None = None

    def feed(self, data: bytes, at: int) -> int:
        if self.is_closed:
            return -1
        piece = data[at : at + self.room]
        self.room -= len(piece)
        self.taken += piece
        return len(piece)

    def close(self) -> None:
        self.is_closed = True
        if self.on_close is not None:
            self.on_close()


class Scene:
    """A transfer to some peers, as RemoteCopies would set it up."""

    def __init__(self, *rooms: int, make: Callable[[list[Reader], Lines], Transfer] = Transfer) -> None:
        self.log = Lines()
        self.peers = [Peer(room) for room in rooms]
        self.readers = [
            Reader(peer, f"peer{number}", b"", log=self.log)  # type: ignore[arg-type]
            for number, peer in enumerate(self.peers)
        ]
        self.transfer = make(self.readers, self.log)
        for peer, reader in zip(self.peers, self.readers, strict=True):
            peer.on_close = lambda reader=reader: self.transfer.forget(reader)

    def taken(self) -> list[bytes]:
        return [bytes(peer.taken) for peer in self.peers]


ALL = 1 << 40


def test_all_readers_get_everything_in_order() -> None:
    scene = Scene(ALL, 3)
    scene.transfer.begin(b"head ")
    for chunk in (b"one ", b"two ", b"three"):
        scene.transfer.add(chunk)
    assert scene.taken() == [b"head one two three", b"hea"]
    scene.transfer.end()
    assert [peer.is_closed for peer in scene.peers] == [True, False]
    scene.peers[1].room = 5
    scene.readers[1].send()
    assert scene.taken()[1] == b"head one"
    scene.peers[1].room = ALL
    scene.readers[1].send()
    assert scene.taken()[1] == b"head one two three"
    assert scene.peers[1].is_closed


def test_the_slowest_reader_sets_the_pace() -> None:
    scene = Scene(ALL, 0)
    scene.transfer.begin(b"")
    assert scene.transfer.has_room
    scene.transfer.add(bytes(WINDOW_BYTES))
    assert not scene.transfer.has_room
    scene.peers[1].room = 1
    scene.readers[1].send()
    assert scene.transfer.has_room


def test_a_reader_that_takes_nothing_is_closed_when_others_wait_for_it() -> None:
    scene = Scene(ALL, 0, 0)
    scene.transfer.begin(b"")
    scene.transfer.add(bytes(WINDOW_BYTES))
    scene.transfer.check(time.monotonic() + HOLDS_UP_S / 2)
    assert [peer.is_closed for peer in scene.peers] == [False, False, False]
    scene.transfer.check(time.monotonic() + 2 * HOLDS_UP_S)
    assert [peer.is_closed for peer in scene.peers] == [False, True, True]
    assert scene.transfer.has_room
    assert scene.transfer.readers == scene.readers[:1]


def test_a_reader_that_takes_little_is_not_closed() -> None:
    scene = Scene(ALL, 0)
    scene.transfer.begin(b"")
    scene.transfer.add(bytes(2 * WINDOW_BYTES))
    scene.readers[1]._moved_at -= 2 * HOLDS_UP_S
    scene.peers[1].room = 1
    scene.readers[1].send()
    scene.transfer.check(time.monotonic())
    assert not scene.peers[1].is_closed


def test_a_reader_that_nobody_waits_for_has_the_whole_timeout() -> None:
    scene = Scene(0)
    scene.transfer.begin(b"")
    scene.transfer.add(bytes(2 * WINDOW_BYTES))
    scene.transfer.check(time.monotonic() + 2 * HOLDS_UP_S)
    scene.readers[0].check(time.monotonic() + 59, 60)
    assert not scene.peers[0].is_closed
    scene.readers[0].check(time.monotonic() + 61, 60)
    assert scene.peers[0].is_closed
    assert scene.log.messages == ["# Disconnecting timedout replica (full sync): peer0"]


@pytest.mark.parametrize("complete_first", [True, False])
def test_the_mark_comes_after_the_childs_success_and_its_last_byte(complete_first: bool) -> None:
    async def run() -> Scene:
        loop = asyncio.get_running_loop()
        scene = Scene(ALL, ALL, make=lambda readers, log: PipeTransfer(readers, log, loop))
        transfer = scene.transfer
        assert isinstance(transfer, PipeTransfer)
        child = os.dup(transfer.fd)
        transfer.started()
        transfer.begin(b"")
        os.write(child, b"dump")
        if complete_first:
            transfer.ended(True)
            os.close(child)
        else:
            os.close(child)
            for _ in range(5):
                await asyncio.sleep(0)
            assert scene.taken() == [b"dump", b"dump"]
            transfer.ended(True)
        while not transfer.is_over:
            await asyncio.sleep(0)
        return scene

    scene = asyncio.run(run())
    assert scene.taken() == [b"dump" + scene.transfer.mark] * 2
    assert [peer.is_closed for peer in scene.peers] == [True, True]


def test_the_pipe_is_not_read_while_a_reader_has_no_room() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        scene = Scene(0, make=lambda readers, log: PipeTransfer(readers, log, loop))
        transfer = scene.transfer
        assert isinstance(transfer, PipeTransfer)
        child = os.dup(transfer.fd)
        os.set_blocking(child, False)
        transfer.started()
        transfer.begin(b"")
        written = 0
        while not transfer.is_full:
            try:
                written += os.write(child, bytes(1 << 20))
            except BlockingIOError:
                await asyncio.sleep(0)
        assert WINDOW_BYTES <= scene.readers[0].queued_bytes <= written
        assert scene.readers[0].queued_bytes < 2 * WINDOW_BYTES
        scene.peers[0].room = ALL
        scene.readers[0].send()
        assert not transfer.is_full
        os.close(child)
        transfer.ended(False)
        assert scene.peers[0].is_closed

    asyncio.run(run())


@pytest.mark.parametrize("length", [0, 1, 1 << 18, 3_000_000])
def test_a_file_is_sent_when_the_child_has_succeeded(tmp_path: Path, length: int) -> None:
    data = os.urandom(length)

    async def run() -> Scene:
        loop = asyncio.get_running_loop()
        scene = Scene(ALL, 100, make=lambda readers, log: FileTransfer(readers, log, loop, str(tmp_path)))
        transfer = scene.transfer
        assert isinstance(transfer, FileTransfer)
        os.write(transfer.fd, data)
        assert list(tmp_path.iterdir()) == []
        transfer.ended(True)
        while not transfer.is_over:
            await asyncio.sleep(0)
        scene.peers[1].room = ALL
        scene.readers[1].send()
        return scene

    scene = asyncio.run(run())
    assert scene.taken() == [b"$%d\r\n" % length + data] * 2
    assert [peer.is_closed for peer in scene.peers] == [True, True]


def test_a_file_whose_child_has_failed_is_not_sent(tmp_path: Path) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        scene = Scene(ALL, make=lambda readers, log: FileTransfer(readers, log, loop, str(tmp_path)))
        scene.transfer.ended(False)  # type: ignore[attr-defined]
        assert scene.taken() == [b""]
        assert scene.peers[0].is_closed

    asyncio.run(run())


def test_the_child_is_killed_when_the_last_reader_has_gone(tmp_path: Path) -> None:
    killed = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        makers: list[Callable[[list[Reader], Lines], Transfer]] = [
            lambda readers, log: PipeTransfer(readers, log, loop),
            lambda readers, log: FileTransfer(readers, log, loop, str(tmp_path)),
        ]
        for make in makers:
            scene = Scene(ALL, ALL, make=make)
            scene.transfer.on_abandoned = lambda: killed.append(1)
            scene.transfer.started()  # type: ignore[attr-defined]
            scene.peers[0].close()
            assert killed == []
            scene.peers[1].close()
            assert killed == [1]
            scene.transfer.ended(False)  # type: ignore[attr-defined]
            killed.clear()

    asyncio.run(run())


@pytest.mark.parametrize("how", ["started", "ended", "discard"])
def test_the_childs_end_of_the_pipe_stays_open_until_there_is_a_child_or_none(how: str) -> None:
    """The last reader may go before: who gets the number then must not get the dump."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        scene = Scene(ALL, make=lambda readers, log: PipeTransfer(readers, log, loop))
        transfer = scene.transfer
        assert isinstance(transfer, PipeTransfer)
        fd = transfer.fd
        scene.peers[0].close()
        assert transfer.is_over
        os.fstat(fd)
        if how == "ended":
            transfer.ended(False)
        else:
            getattr(transfer, how)()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)

    asyncio.run(run())
