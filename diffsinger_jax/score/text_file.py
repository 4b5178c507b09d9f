"""Text files whose encoding is unknown: UTF-8 if it can be, else what Asian editors write."""

from __future__ import annotations

import re
from pathlib import Path

from diffsinger_jax.errors import InputError

ENCODINGS = ("utf-8-sig", "cp932", "gb18030")
"""Tried in this order; a UTF-16 file says so in its first bytes."""


def read_text(path: Path, encoding: str | None = None) -> str:
    """The text of a file.

    Args:
      path: of the file.
      encoding: as "gbk"; None for the file's own word (`Charset=`) or whichever fits.

    Raises:
      InputError: if it is not text in this encoding, or in any that is tried.
    """
    data = path.read_bytes()
    said = re.search(rb"^Charset\s*=\s*([\w-]+)", data[:400], re.MULTILINE)
    if encoding is not None:
        tried: tuple[str, ...] = (encoding,)
    elif data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        tried = ("utf-16",)
    else:
        tried = ((said.group(1).decode("ascii"),) if said else ()) + ENCODINGS
    for name in tried:
        try:
            text = data.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
        if "\0" not in text:
            return text
    names = encoding or "UTF-8, Shift-JIS, GBK or UTF-16"
    raise InputError(
        f"{path}: it is not text in {names}; say how it is encoded, as --encoding cp932, or save "
        "it as UTF-8"
    )
