"""A wav file written as its sound comes, to a file or a pipe."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

BYTES_PER_SAMPLE = {"PCM_16": 2, "PCM_24": 3}
_TAG_CHUNKS = {"title": b"INAM", "artist": b"IART", "software": b"ISFT", "comment": b"ICMT"}
_LARGEST = 2**32 - 1  # a RIFF file counts its bytes in 32 bits


class WavStream:
    """One channel of sound; the header goes out first, so nothing has to be sought back to.

    Where nobody knows how much will come, the header says as much as it can, which players take
    for a stream; `finish` corrects it in files.
    """

    def __init__(
        self,
        file: BinaryIO,
        samples: int | None,
        sample_rate: int,
        subtype: str = "PCM_16",
        tags: Mapping[str, str] | None = None,
    ):
        """Writes the header.

        Args:
          file: written to from where it stands; stays open.
          samples: that will come; None where that is not known.
          sample_rate: Hz.
          subtype: a name in `BYTES_PER_SAMPLE`.
          tags: text by a name in `audio.wav.TAGS`.
        """
        self._file, self._bytes = file, BYTES_PER_SAMPLE[subtype]
        format_chunk = struct.pack(
            "<HHIIHH", 1, 1, sample_rate, sample_rate * self._bytes, self._bytes, 8 * self._bytes
        )
        info = b"INFO" + b"".join(
            _chunk(_TAG_CHUNKS[name], text.encode() + b"\0") for name, text in (tags or {}).items()
        )
        head = b"WAVE" + _chunk(b"fmt ", format_chunk) + (_chunk(b"LIST", info) if tags else b"")
        size = _LARGEST if samples is None else samples * self._bytes
        self._odd = size % 2 if samples is not None else 0
        total = len(head) + 8 + size + self._odd
        self._head, self._written = len(head), 0
        file.write(b"RIFF" + struct.pack("<I", min(total, _LARGEST)) + head)
        file.write(b"data" + struct.pack("<I", min(size, _LARGEST)))
        self._left = samples

    def write(self, wav: np.ndarray) -> None:
        """Adds f32[L] in [-1, 1], as the numbers that `write_wav` writes, and hands it on at once.

        Raises:
          ValueError: if more comes than was said.
        """
        if self._left is not None:
            if len(wav) > self._left:
                raise ValueError(f"{len(wav)} samples come where {self._left} are left")
            self._left -= len(wav)
        self._written += len(wav)
        scale = 2 ** (8 * self._bytes - 1)
        numbers = np.floor(np.asarray(wav, np.float64) * scale).clip(-scale, scale - 1)
        numbers = numbers.astype("<i4")
        self._file.write(numbers.view(np.uint8).reshape(-1, 4)[:, : self._bytes].tobytes())
        if self._left == 0 and self._odd:
            self._file.write(b"\0")
        self._file.flush()

    def finish(self) -> None:
        """Ends a sound of unknown length: writes how long it has become, if the file lets it."""
        size = self._written * self._bytes
        if self._left is not None or not self._file.seekable():
            return
        end = self._file.tell()
        begin = end - size - self._head - 16  # RIFF, its size, head, data, its size
        if size % 2:
            self._file.write(b"\0")
        for place, value in ((4, self._head + 8 + size + size % 2), (12 + self._head, size)):
            self._file.seek(begin + place)
            self._file.write(struct.pack("<I", min(value, _LARGEST)))
        self._file.seek(0, 2)


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
