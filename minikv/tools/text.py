r"""Bytes as text, in one form that can be turned back.

UTF-8 stands as it is, a backslash twice, and a byte that is no UTF-8 as \xHH. Where a line must stay a line, so do the
bytes of control characters and of separators of lines and paragraphs. Whatever reads it back takes the UTF-8 bytes of
the text, \\ for a backslash, and \xHH for a byte.
"""

from __future__ import annotations

# C0, DEL and C1, of which terminals may take orders, and what else ends a line.
CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029]
IN_A_LINE = {code: "".join(f"\\x{byte:02x}" for byte in chr(code).encode()) for code in CONTROLS}


def readable(data: bytes) -> str:
    """The form for where control characters are no harm: inside of a JSON string, which has its own escapes."""
    return data.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def in_a_line(data: bytes) -> str:
    """The form for a line of a terminal or of a CSV file."""
    text = readable(data)
    return text if text.isprintable() else text.translate(IN_A_LINE)
