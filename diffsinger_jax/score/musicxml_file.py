"""MusicXML files: out of their zip (.mxl), and without the tricks of hostile XML."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
import zipfile
import zlib
from pathlib import Path
from xml.parsers import expat

from diffsinger_jax.errors import InputError

_MAX_BYTES = 64 * 2**20  # of XML; the largest song of the OpenScore Lieder corpus has 4 MiB
_MOST_ELEMENTS, _DEEPEST = 400_000, 64  # it has 0.1 million elements; scores have 10 levels


def parse_musicxml(path: Path) -> ET.Element:
    """The root element of a .musicxml, .xml or .mxl file.

    Raises:
      InputError: if it is not well-formed, declares entities, or is no zip with a score in it.
    """
    return _parse(_xml_bytes(path), str(path))


def _xml_bytes(path: Path) -> bytes:
    """The XML itself, out of its zip for .mxl."""
    if path.suffix.lower() != ".mxl":
        return path.read_bytes()
    try:
        with zipfile.ZipFile(path) as archive:
            container = _parse(_member(archive, "META-INF/container.xml", path), str(path))
            rootfiles = list(container.iter("rootfile"))
            name = rootfiles[0].get("full-path", "") if rootfiles else ""
            return _member(archive, name, path)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise InputError(
            f"{path}: not a compressed MusicXML file ({error}); export it again"
        ) from error


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    if archive.getinfo(name).file_size > _MAX_BYTES:
        raise InputError(
            f"{path}: {name} unpacks to more than {_MAX_BYTES >> 20} MiB; is it a score?"
        )
    return archive.read(name)


def _parse(data: bytes, source: str) -> ET.Element:
    """Parses XML that declares no entities of its own, which is how XML bombs are made."""

    def refuse(name, *_):
        raise InputError(f"{source}: it declares the XML entity {name!r}, which no score needs")

    builder = ET.TreeBuilder()
    parser = expat.ParserCreate()
    count = depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count, depth
        count, depth = count + 1, depth + 1
        if count > _MOST_ELEMENTS or depth > _DEEPEST:
            raise InputError(
                f"{source}: it has more than {_MOST_ELEMENTS} elements or {_DEEPEST} levels of "
                "them, which no song has; is it one song?"
            )
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = refuse
    try:
        parser.ParseFile(io.BytesIO(data))
    except LookupError as error:
        raise InputError(
            f"{source}: it declares an encoding that is not known ({error}); save it as UTF-8"
        ) from error
    except expat.ExpatError as error:
        raise InputError(f"{source}: not well-formed XML ({error}); export it again") from error
    return builder.close()
