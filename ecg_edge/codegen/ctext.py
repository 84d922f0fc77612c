"""C text: literals, arrays, identifiers. Layer: codegen; text only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

WIDTH = 120
CONST = "static const ECG_FLASH"  # ecg_flash.h: what AVR keeps in flash
_WORD = re.compile(r"[^A-Za-z0-9_]")
# What may not stand in a string literal as it is. Beyond ASCII goes out as UTF-8 bytes.
_ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\", ord("?"): "\\?"}


def identifier(text: str) -> str:
    """A C identifier that reads like the text."""
    word = _WORD.sub("_", text)
    return f"_{word}" if not word or word[0].isdigit() else word


def string(text: str) -> str:
    """A string literal, in ASCII: other characters as octal bytes of UTF-8, which end after three digits."""
    escaped = (_ESCAPES.get(byte, chr(byte)) if 32 <= byte < 127 else f"\\{byte:03o}" for byte in text.encode("utf-8"))
    return '"' + "".join(escaped) + '"'


def integer(value: int) -> str:
    """A literal of at most 32 bits; INT32_MIN has none of its own in C."""
    return "(-2147483647 - 1)" if value == -(1 << 31) else str(value)


def float32(value: float) -> str:
    """A float literal that reads back as the same float32."""
    text = repr(value)
    return f"{text if any(c in text for c in '.e') else text + '.0'}f"


def lines(literals: Iterable[str], *, indent: int = 4, width: int = WIDTH) -> str:
    """Literals with commas, wrapped and indented, without a newline at the end."""
    rows: list[str] = []
    row = ""
    for literal in literals:
        if row and indent + len(row) + len(literal) + 2 > width:
            rows.append(row)
            row = ""
        row += f"{' ' if row else ''}{literal},"
    return "\n".join(" " * indent + text for text in [*rows, row] if text)


def array(kind: str, name: str, values: Sequence[int], *, size: str = "", comment: str = "", const: str = CONST) -> str:
    """A static const array.

    Args:
        kind: element type.
        name: identifier.
        values: the elements.
        size: how the size is written, `16 * 7` say; the number of values otherwise.
        comment: what stands beside it, its shape.
        const: what it begins with; "static const" where it is read as memory of any kind.
    """
    note = f"   // {comment}" if comment else ""
    body = lines(integer(int(value)) for value in values)
    return f"{const} {kind} {name}[{size or len(values)}] = {{{note}\n{body}\n}};"


def hex_bytes(data: bytes, *, indent: int = 4) -> str:
    """Bytes as wrapped hex literals."""
    return lines((f"0x{byte:02x}" for byte in data), indent=indent)
