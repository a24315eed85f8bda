"""The manifest: what is read, what is refused, and what a crash leaves."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from minikv.errors import HistoryError
from minikv.history import compaction, manifest
from minikv.history.chain import History, adopt, text_of
from minikv.history.manifest import parse, sealed
from tests.history.history_files import FIRST_MS, HOUR_MS, Writer, sample
from tests.rdb.rdb_files import crc

HEAD = {"id": "0" * 32, "version": 1}
POINT = {
    "id": 1,
    "parent": 0,
    "kind": "base",
    "file": "base-0000000001.rdb",
    "time": 5,
    "digest": "00000000000000aa",
    "parent-digest": "0" * 16,
    "bytes": 99,
}


def lines(*points: dict[str, object], head: dict[str, object] | None = None) -> bytes:
    return sealed("history", HEAD | (head or {})) + b"".join(sealed("point", POINT | point) for point in points)


def test_a_line_is_fields_and_redis_own_checksum() -> None:
    line = sealed("point", {"id": 1})
    assert line == b"point id=1 checksum=%016x\n" % int.from_bytes(crc(b"point id=1"), "little")


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    history = sample(tmp_path / "h")
    found = manifest.read(str(tmp_path / "h"))
    assert found.history == history.manifest.history
    assert list(found.points) == history.points
    assert found.cut == 0


def test_unknown_fields_are_kept_and_missing_ones_have_defaults() -> None:
    (point,) = parse(lines({"color": "blue", "changes": 7})).points
    assert point.others == {"color": "blue"}
    assert (point.changes, point.db_keys, point.keys) == (7, None, 0)
    assert point.known_as == point.digest == 0xAA
    assert b" color=blue checksum=" in point.line()
    assert parse(lines() + point.line()).points == (point,)


SAVED = {
    "id": 7,
    "parent": 6,
    "kind": "layer",
    "file": "layer-0000000007.rdb",
    "time": FIRST_MS,
    "parent-digest": "0" * 15 + "1",
    "db-keys": 5,
    "changes": 4,
    "digest": "0" * 15 + "2",
    "keys": 3,
    "removed": 2,
    "bytes": 100,
    "fork-us": 9,
    "save-ms": 8,
}


@pytest.mark.parametrize("fork", [True, False])
def test_a_line_of_a_save_is_read_the_short_way(fork: bool) -> None:
    line = sealed("point", SAVED if fork else {name: value for name, value in SAVED.items() if name != "fork-us"})
    found = manifest.plain_point(line[:-1])
    assert found == manifest.point_of(manifest.fields_of(line[:-1], 1, "point"), 1)
    assert found is not None
    # The same words in a line of this module.
    for each in (found, dataclasses.replace(found, db_keys=None), dataclasses.replace(found, known_as=3)):
        assert manifest.plain_point(each.line()[:-1]) == each


@pytest.mark.parametrize(
    "changed",
    [{"id": 0}, {"id": 10**15}, {"parent": 0}, {"kind": "other"}, {"file": "../layer-0000000007.rdb"}, {"keys": "x"}],
)
def test_a_line_that_is_wrong_is_left_to_the_long_way(changed: dict[str, object]) -> None:
    line = sealed("point", SAVED | changed)
    assert manifest.plain_point(line[:-1]) is None
    assert manifest.plain_point(line[:-2] + b"x") is None


def test_known_as_is_written_where_it_differs() -> None:
    (point,) = parse(lines({"known-as": "00000000000000bb"})).points
    assert point.known_as == 0xBB
    assert parse(lines() + point.line()).points == (point,)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"history", "its first line is cut"),
        (lines(head={"version": 2}), "version 2 is not known"),
        (lines(head={"id": "short"}), "no history ID"),
        (lines({"kind": "other"}), "line 2: kind 'other' is not known"),
        (lines({"file": "../x.rdb"}), "is no name of a file"),
        (lines({"file": "layer-1.rdb"}), "is no name of a file"),
        (lines({"id": 0}), "no point has ID 0|has parent 0"),
        (lines({"id": "-1"}), "field id is missing or no number"),
        (lines({"id": 10**16}), "no point has ID"),
        (lines({"time": "1e3"}), "field time is missing or no number"),
        (lines({"digest": "aa"}), "field digest is missing or no number"),
        (lines({"kind": "layer"}), "layer 1 has no parent"),
        (lines({"parent": 1}), "point 1 has parent 1"),
        (lines({}, {}), "point 1 follows 1"),
        (lines() + sealed("pint", POINT), "'pint' where 'point' is expected"),
        (lines() + sealed("point", POINT | {"keys": "1 keys=2"}), "a field occurs twice"),
        (lines() + b"\n", "line 2 is damaged"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(HistoryError, match=reason) as caught:
        parse(data)
    assert str(caught.value).startswith("manifest: ")
    assert "\n" not in str(caught.value)


def test_every_flipped_byte_is_found_and_every_cut_is_a_cut(tmp_path: Path) -> None:
    sample(tmp_path / "h")
    data = (tmp_path / "h" / "manifest").read_bytes()
    whole = parse(data).points
    last = len(data) - 1
    for place in range(len(data)):
        for bit in (1, 0x80):
            flipped = data[:place] + bytes((data[place] ^ bit,)) + data[place + 1 :]
            if place == last:  # it looks like a line that was cut
                assert parse(flipped).points == whole[:-1]
                continue
            with pytest.raises(HistoryError):
                parse(flipped)
    ends = [match.end() for match in re.finditer(b"\n", data)]
    for length in range(ends[0], len(data) + 1):
        found = parse(data[:length])
        count = sum(end <= length for end in ends) - 1
        assert found.points == whole[:count]
        assert found.cut == length - max(end for end in ends if end <= length)


def test_append_removes_a_cut_line_first(tmp_path: Path) -> None:
    history = sample(tmp_path / "h")
    path = tmp_path / "h" / "manifest"
    data = path.read_bytes()
    path.write_bytes(data[:-10])
    manifest.append(str(tmp_path / "h"), history.points[-1])
    assert path.read_bytes() == data


def test_append_refuses_a_point_that_is_there(tmp_path: Path) -> None:
    history = sample(tmp_path / "h")
    with pytest.raises(HistoryError, match="point 4 is there already"):
        manifest.append(str(tmp_path / "h"), history.points[-1])


def test_create_refuses_a_history(tmp_path: Path) -> None:
    sample(tmp_path / "h")
    with pytest.raises(FileExistsError):
        manifest.create(str(tmp_path / "h"))


# After a crash


def test_adopt_cuts_a_line_and_takes_files_in(tmp_path: Path) -> None:
    history = sample(tmp_path / "h")
    path = tmp_path / "h" / "manifest"
    text = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(text[:3]) + text[3][:50])
    told = adopt(str(tmp_path / "h"))
    assert told == [
        "The manifest's last line was cut by a crash: 50 bytes removed",
        "layer-0000000003.rdb was complete but not in the manifest: point 3 added",
        "layer-0000000004.rdb was complete but not in the manifest: point 4 added",
    ]
    found = History.open(str(tmp_path / "h"))
    for point, original in zip(found.points[2:], history.points[2:], strict=True):
        expected = dataclasses.replace(original, time_ms=point.time_ms, db_keys=None)
        assert dataclasses.replace(point, removed=0) == expected
        found.check_file(point, contents=True)
    assert adopt(str(tmp_path / "h")) == []


def test_adopt_leaves_what_is_not_whole_or_does_not_follow(tmp_path: Path) -> None:
    history = sample(tmp_path / "h")
    other = sample(tmp_path / "other")
    (tmp_path / "h" / "layer-0000000005.rdb").write_bytes(b"REDIS0010")
    assert adopt(str(tmp_path / "h")) == []
    history.layer(listed=False)
    data = (tmp_path / "h" / "layer-0000000005.rdb").read_bytes()
    for place in range(len(data)):
        flipped = data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]
        (tmp_path / "h" / "layer-0000000005.rdb").write_bytes(flipped)
        assert adopt(str(tmp_path / "h")) == [], place
    other.layer()  # point 5 of a history of the same ID, but after another point 4
    other.base()
    (tmp_path / "h" / "base-0000000006.rdb").write_bytes((tmp_path / "other" / "base-0000000006.rdb").read_bytes())
    (tmp_path / "h" / "layer-0000000005.rdb").unlink()
    assert adopt(str(tmp_path / "h")) == []


def test_adopt_leaves_a_point_alone_that_a_server_adds_at_this_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is there a moment before its line; the server holds the lock in between."""
    history = sample(tmp_path / "h")
    point = history.layer(listed=False)
    append = manifest.append

    def server_first(directory: str, found: manifest.Point) -> None:
        if found.time_ms != point.time_ms:
            append(directory, point)
        append(directory, found)

    monkeypatch.setattr(manifest, "append", server_first)
    assert adopt(str(tmp_path / "h")) == []
    assert History.open(str(tmp_path / "h")).points == tuple(history.points)


def test_the_first_base_is_adopted(tmp_path: Path) -> None:
    Writer(tmp_path / "h").base(listed=False)
    assert adopt(str(tmp_path / "h")) == ["base-0000000001.rdb was complete but not in the manifest: point 1 added"]


# Points


def test_points_by_id_and_time(tmp_path: Path) -> None:
    sample(tmp_path / "h")
    history = History.open(str(tmp_path / "h"))
    assert history.find("2").id == 2
    assert history.find("newest").id == 4
    second = (FIRST_MS + HOUR_MS) // 1000
    assert history.find(f"@{second}").id == 2
    assert history.find(f"@{second - 1}").id == 1
    assert history.find(f"@{second + 10 * 3600}").id == 4
    assert history.find("2023-11-14T23:13:20Z").id == 2
    for text, reason in (
        ("9", "no point 9: the history has 1 to 4"),
        ("@5", "the history begins at"),
        ("yesterday", "neither an ID nor a time"),
        ("2023-02-30 10:00", "neither an ID nor a time"),
        ("25:00", "neither an ID nor a time"),
        ("@99999999999999", "neither an ID nor a time"),
    ):
        with pytest.raises(HistoryError, match=reason):
            history.find(text)


def test_points_of_a_clock_that_jumped(tmp_path: Path) -> None:
    """The third was saved a day before the second, the fourth far in the future, the fifth before 1971."""
    sample(tmp_path / "h")
    day_ms = 24 * HOUR_MS
    far_ms, early_ms = 9_000 * 365 * day_ms, 1
    times = [FIRST_MS, FIRST_MS + HOUR_MS, FIRST_MS + HOUR_MS - day_ms, far_ms]
    manifest.update(
        str(tmp_path / "h"),
        lambda found: [dataclasses.replace(point, time_ms=ms) for point, ms in zip(found.points, times, strict=True)],
    )
    history = History.open(str(tmp_path / "h"))
    manifest.append(
        str(tmp_path / "h"),
        dataclasses.replace(history.points[-1], id=5, parent=4, time_ms=early_ms, file="layer-0000000005.rdb"),
    )
    history = History.open(str(tmp_path / "h"))
    assert history.at(FIRST_MS + 2 * HOUR_MS).id == 2
    assert history.at(FIRST_MS).id == 1
    assert history.at(FIRST_MS - HOUR_MS).id == 3
    assert history.at(2).id == 5
    assert history.at(far_ms).id == 4
    assert history.find("newest").id == 5
    assert [text_of(point.time_ms)[:4] for point in history.points] == ["2023", "2023", "2023", "@283", "1970"]
    for rule in ("last", "hourly", "daily", "weekly", "monthly", "yearly"):
        kept = compaction.kept_by(history.points, [(rule, 1)])
        assert kept == {4, 5}, rule
        assert compaction.kept_by(history.points, [(rule, 100)]) >= {2, 4, 5}


def test_an_empty_history_has_no_points(tmp_path: Path) -> None:
    Writer(tmp_path / "h")
    history = History.open(str(tmp_path / "h"))
    for text in ("1", "newest", "@1700000000"):
        with pytest.raises(HistoryError, match="empty"):
            history.find(text)


def test_a_directory_without_manifest_is_no_history(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="no history"):
        History.open(str(tmp_path))
    with pytest.raises(HistoryError, match="no history"):
        History.open(str(tmp_path / "not" / "there"))


# Damaged files


def test_every_flipped_byte_of_a_file_is_found(tmp_path: Path) -> None:
    sample(tmp_path / "h")
    history = History.open(str(tmp_path / "h"))
    for point in history.points[1:3]:
        path = Path(history.path(point))
        data = path.read_bytes()
        history.check_file(point, contents=True)
        for place in range(len(data)):
            path.write_bytes(data[:place] + bytes((data[place] ^ 4,)) + data[place + 1 :])
            with pytest.raises(HistoryError, match=f"^point {point.id}: {point.file}: ") as caught:
                history.check_file(point, contents=True)
            assert caught.value.previous == point.id - 1
        for length in range(len(data)):
            path.write_bytes(data[:length])
            with pytest.raises(HistoryError, match="bytes, not"):
                history.check_file(point)
        path.write_bytes(data)


def test_a_missing_or_swapped_file_is_named(tmp_path: Path) -> None:
    sample(tmp_path / "h")
    history = History.open(str(tmp_path / "h"))
    two, three = (Path(history.path(history.point(id))) for id in (2, 3))
    data = two.read_bytes()
    two.write_bytes(three.read_bytes())
    with pytest.raises(HistoryError, match=r"point 2: layer-0000000002.rdb: it"):
        history.check_file(history.point(2))
    two.unlink()
    with pytest.raises(HistoryError, match="it is missing; point 1 is the newest before it"):
        history.check_file(history.point(2))
    two.write_bytes(data)
    Path(history.path(history.point(1))).unlink()
    with pytest.raises(HistoryError, match="it is missing; no point before it is left"):
        history.check_file(history.point(1))


def test_a_file_of_another_history_is_refused(tmp_path: Path) -> None:
    sample(tmp_path / "h")
    path = tmp_path / "h" / "manifest"
    text = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(sealed("history", {"id": "f" * 32, "version": 1}) + b"".join(text[1:]))
    history = History.open(str(tmp_path / "h"))
    with pytest.raises(HistoryError, match="it is of another history, 0123456789abcdef"):
        history.check_file(history.point(1))


def test_a_chain_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    sample(tmp_path / "h")
    path = tmp_path / "h" / "manifest"
    text = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*text[:2], *text[3:]]))
    history = History.open(str(tmp_path / "h"))
    with pytest.raises(HistoryError, match="point 2, the parent of 3, is not in the manifest"):
        history.path_to(history.point(4))
    points = list(manifest.parse(b"".join(text)).points)
    points[1] = dataclasses.replace(points[1], known_as=5)
    path.write_bytes(text[0] + b"".join(point.line() for point in points))
    history = History.open(str(tmp_path / "h"))
    with pytest.raises(HistoryError, match="point 3 follows a point 2 of digest"):
        history.path_to(history.point(4))
