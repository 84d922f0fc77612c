"""What a linked image holds: bytes of flash and RAM, and where its functions lie. Layer: device; imports errors.

Reads 32-bit little-endian ELF, as the cross compilers write it. Source: Tool Interface Standard, ELF 1.2.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ecg_edge.errors import DeviceError

_MAGIC = b"\x7fELF\x01\x01"  # 32 bits, little-endian
_HEADER = struct.Struct("<16sHHIIIIIHHHHHH")
_SECTION = struct.Struct("<10I")
_SYMBOL = struct.Struct("<IIIBBH")
_SYMTAB, _NOBITS = 2, 8
_WRITE, _ALLOC = 1, 2
_LABEL, _OBJECT, _FUNCTION, _FILE = 0, 1, 2, 4
_LOCAL = 0


class _Section(NamedTuple):
    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """A function or a variable of the image."""

    name: str
    start: int  # address, the Thumb bit gone
    size: int  # bytes
    function: bool
    file: str = ""  # the source it is static in; "": it is not


@dataclass(frozen=True, slots=True)
class Image:
    """One linked image; bytes."""

    flash_bytes: int  # code, constants, and what is copied to RAM
    ram_bytes: int  # variables, those copied from flash among them; no stack
    symbols: tuple[Symbol, ...]  # by address
    labels: Mapping[str, int] = field(default_factory=dict)  # addresses that the linker's script names

    def functions(self) -> tuple[Symbol, ...]:
        """By address; those without a size (of assembly) included."""
        return tuple(symbol for symbol in self.symbols if symbol.function)


def read_image(path: Path) -> Image:
    """Read a linked image.

    Raises:
        DeviceError: it is no such file.
    """
    data = path.read_bytes()
    try:
        return _parse(data)
    except (struct.error, IndexError, ValueError) as error:
        raise DeviceError(f"{path.name} is no 32-bit little-endian ELF image") from error


def _parse(data: bytes) -> Image:
    if not data.startswith(_MAGIC):
        raise ValueError
    header = _HEADER.unpack_from(data)
    offset, entry, count = header[6], header[11], header[12]
    sections = [_Section(*_SECTION.unpack_from(data, offset + i * entry)) for i in range(count)]
    there = [section for section in sections if section.flags & _ALLOC]
    flash = sum(section.size for section in there if section.type != _NOBITS)
    ram = sum(section.size for section in there if section.flags & _WRITE)
    table = next((section for section in sections if section.type == _SYMTAB), None)
    if table is None:
        raise ValueError
    return Image(flash, ram, *_symbols(data, table, sections[table.link]))


def _symbols(data: bytes, table: _Section, names: _Section) -> tuple[tuple[Symbol, ...], dict[str, int]]:
    found, labels = list[Symbol](), dict[str, int]()
    file = ""  # a file's own symbols follow its name
    for at in range(table.offset, table.offset + table.size, _SYMBOL.size):
        name, value, size, info, _, _ = _SYMBOL.unpack_from(data, at)
        kind = info & 15
        if kind not in (_LABEL, _FUNCTION, _OBJECT, _FILE):
            continue
        start = names.offset + name
        text = data[start : data.index(b"\0", start)].decode()
        if kind == _FILE:
            file = text
            continue
        if kind == _LABEL:  # local ones are the compiler's
            labels |= {text: value} if info >> 4 != _LOCAL else {}
            continue
        function, own = kind == _FUNCTION, file if info >> 4 == _LOCAL else ""
        found.append(Symbol(text, value & ~1 if function else value, size, function, own))
    return tuple(sorted(found, key=lambda symbol: (symbol.start, symbol.name))), labels
