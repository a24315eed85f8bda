"""redis.conf as text: words, quotes, include, rewriting in place."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikv.config_file import GENERATED, Line, quote, read_file, rewrite_text, split_words, write_atomically

NAMES = {"save": "save", "timeout": "timeout", "hash-max-ziplist-value": "hash-max-listpack-value"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  \t ", []),
        ("timeout 5", ["timeout", "5"]),
        ('save ""', ["save", ""]),
        (r'a "b\n\r\t\b\a\"\\c" d', ["a", 'b\n\r\t\b\a"\\c', "d"]),
        (r'a "\x41\x7e\q"', ["a", "A~q"]),
        (r'a "\xg1"', ["a", "xg1"]),
        (r"a 'b\n\'c'", ["a", r"b\n'c"]),
        ("a pre'fix'", ["a", "prefix"]),
        (r'a "\xff\x00"', ["a", "\udcff\0"]),
        ('a "ö€"', ["a", "ö€"]),
    ],
)
def test_words_of_a_line(line: str, words: list[str]) -> None:
    assert split_words(line) == words


@pytest.mark.parametrize("line", ['a "b', "a 'b", 'a "b"c', "a 'b'c", 'a "b\\', '"'])
def test_unbalanced_quotes_are_no_words(line: str) -> None:
    assert split_words(line) is None


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_whatever_is_quoted_is_read_back(raw: list[bytes]) -> None:
    words = [word.decode("utf-8", "surrogateescape") for word in raw]
    line = " ".join(map(quote, words))
    assert line.isascii()
    assert split_words(line) == words


@given(st.text(alphabet="ab\"'\\x0 \n", max_size=30))
def test_any_line_is_words_or_unbalanced(line: str) -> None:
    words = split_words(line)
    assert words is None or all(isinstance(word, str) for word in words)


def test_comments_and_blank_lines_are_left_out_and_lines_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_bytes(b"# a comment\n\n  Port 5 \r\n\tsave 1 2\n#end")
    assert list(read_file(str(path))) == [Line(["port", "5"], f"{path}:3"), Line(["save", "1", "2"], f"{path}:4")]


def test_include_stands_for_the_lines_of_the_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "b.conf").write_text("timeout 2\n")
    path = tmp_path / "a.conf"
    path.write_text(f"timeout 1\ninclude {tmp_path}/b.conf\ntimeout 3\n")
    assert [line.words for line in read_file(str(path))] == [["timeout", "1"], ["timeout", "2"], ["timeout", "3"]]


def test_include_takes_a_pattern_in_sorted_order_and_may_match_nothing(tmp_path: Path) -> None:
    for name in ("2", "1", "3"):
        (tmp_path / f"{name}.part").write_text(f"timeout {name}\n")
    path = tmp_path / "a.conf"
    path.write_text(f"include {tmp_path}/*.part\ninclude {tmp_path}/*.nothing\n")
    assert [line.words[1] for line in read_file(str(path))] == ["1", "2", "3"]


def test_a_missing_include_names_the_line_and_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("\ninclude /nowhere/b.conf\n")
    (line,) = read_file(str(path))
    reason = "can't open config file '/nowhere/b.conf': No such file or directory"
    assert line.error == f"{path}:2: include /nowhere/b.conf: {reason}"


def test_a_file_that_includes_itself_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text(f"include {tmp_path}/b.conf\n")
    (tmp_path / "b.conf").write_text(f"include {path}\n")
    (line,) = read_file(str(path))
    assert line.error.endswith("the file includes itself")


def test_a_file_may_be_included_twice(tmp_path: Path) -> None:
    (tmp_path / "b.conf").write_text("timeout 2\n")
    path = tmp_path / "a.conf"
    path.write_text(f"include {tmp_path}/b.conf\n" * 2)
    assert len(list(read_file(str(path)))) == 2


def test_unbalanced_quotes_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text('timeout "1\n')
    (line,) = read_file(str(path))
    assert line.error == f'{path}:1: timeout "1: Unbalanced quotes in configuration line'


def test_rewriting_puts_new_lines_where_the_first_old_one_stood() -> None:
    text = "# head\nsave 1 1\n# between\nSAVE 2 2\nother\n"
    new = rewrite_text(text, {"save": ["save 3 3", "save 4 4"]}, NAMES, [])
    assert new == "# head\nsave 3 3\nsave 4 4\n# between\nother\n"


def test_rewriting_replaces_an_old_name() -> None:
    changed = {"hash-max-listpack-value": ["hash-max-listpack-value 5"]}
    assert rewrite_text("hash-max-ziplist-value 1", changed, NAMES, []) == "hash-max-listpack-value 5"


def test_additions_go_behind_one_marker_line() -> None:
    once = rewrite_text("# a\n\n\n", {}, NAMES, ["timeout 5"])
    assert once == f"# a\n\n{GENERATED}\ntimeout 5\n"
    twice = rewrite_text(once, {}, NAMES, ["save 1 1"])
    assert twice == f"# a\n\n{GENERATED}\ntimeout 5\nsave 1 1\n"
    assert rewrite_text("", {}, NAMES, ["timeout 5"]) == f"{GENERATED}\ntimeout 5\n"


def test_what_did_not_change_is_left_byte_for_byte() -> None:
    text = "timeout   '5'  \r\n\n\n#x\nodd \"line\n"
    assert rewrite_text(text, {}, NAMES, []) == text


def test_atomic_write_keeps_the_mode_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("old")
    path.chmod(0o640)
    write_atomically(str(path), "new \udcff")
    assert path.read_bytes() == b"new \xff"
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["a.conf"]


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    write_atomically(str(tmp_path / "a.conf"), "requirepass x\n")
    assert (tmp_path / "a.conf").stat().st_mode & 0o777 == 0o600


def test_atomic_write_goes_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real.conf").write_text("old")
    (tmp_path / "link.conf").symlink_to("real.conf")
    write_atomically(str(tmp_path / "link.conf"), "new")
    assert (tmp_path / "link.conf").is_symlink()
    assert (tmp_path / "real.conf").read_text() == "new"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.conf"
    path.write_text("old")

    def fail(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(str(path), "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.conf"]
