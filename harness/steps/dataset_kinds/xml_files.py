"""Small XML files of others: no document types, so no entities and nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ...errors import ConfigError
from . import files

#: elements within elements, and elements of a file
DEEPEST: Final = 32
MOST_ELEMENTS: Final = 200_000
HINT: Final = "Export the annotations again."


class _Refused(Exception):
    """What an annotation has no use for."""


def read(path: Path) -> Element:
    """The root element; raises ConfigError with the line of what is wrong."""
    data = files.read_bytes(path, files.LABEL_BYTES)
    parser = expat.ParserCreate()
    try:
        return _parsed(parser, data)
    except expat.ExpatError as error:
        what = f"not XML: {expat.errors.messages.get(error.code, 'damaged')}"
        raise ConfigError([f"{path}:{error.lineno}: {what}"], HINT) from None
    except _Refused as error:
        raise ConfigError([f"{path}:{parser.CurrentLineNumber}: {error}"]) from None
    except (ValueError, LookupError) as error:  # an encoding that Python does not have
        raise ConfigError([f"{path}:1: not XML: {error}"]) from None


def _parsed(parser: expat.XMLParserType, data: bytes) -> Element:
    """Expat alone tells of a document type before anything in it is looked at."""
    builder, counts = TreeBuilder(), [0, 0]

    def start(tag: str, attributes: dict[str, str]) -> None:
        counts[0] += 1
        counts[1] += 1
        if counts[0] > DEEPEST or counts[1] > MOST_ELEMENTS:
            raise _Refused(f"more than {MOST_ELEMENTS:,} elements, or {DEEPEST} within another")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        counts[0] -= 1
        builder.end(tag)

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _no_document_type
    parser.EntityDeclHandler = _no_document_type
    parser.ExternalEntityRefHandler = _no_document_type
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.Parse(data, True)
    return builder.close()


def _no_document_type(*_: object) -> NoReturn:
    raise _Refused("document types and entities are not read")
