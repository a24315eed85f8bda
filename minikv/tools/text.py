r"""Bytes as text, reversibly.

UTF-8 is unchanged, a backslash is doubled, and a byte that is not UTF-8 is written as \xHH. Where a line
must stay one line, so are control characters and the separators of lines and paragraphs. To read it
back: \\ is a backslash, \xHH a byte, everything else its UTF-8 bytes.
"""

from __future__ import annotations

# C0, DEL and C1, which terminals may obey, and the other characters that end a line.
CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029]
IN_A_LINE = {code: "".join(f"\\x{byte:02x}" for byte in chr(code).encode()) for code in CONTROLS}


def readable(data: bytes) -> str:
    """For places where control characters do no harm: inside a JSON string, which has its own escapes."""
    return data.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def in_a_line(data: bytes) -> str:
    """For a line of a terminal or a CSV file."""
    text = readable(data)
    return text if text.isprintable() else text.translate(IN_A_LINE)
