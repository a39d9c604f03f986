"""Records to JSON and back, checked against their type hints.

Used on both sides: it is copied to devices, so it needs nothing but Python 3.8.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import threading
import types
from typing import (
    Any,
    Dict,
    List,
    Literal,
    Type,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

Record = TypeVar("Record")

#: held while Python source is parsed, as numpy parses the header of each array: 3.11.7 and older
#: raise SystemError where two threads do so at once (python/cpython#106905)
PARSING = threading.RLock()

#: JSON escapes of a lone surrogate, and of whole pairs
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
#: maximum nesting of values without a type
_DEEPEST = 20

#: what `X | None` is, where Python has it; what travels writes Optional
_PIPE: Any = getattr(types, "UnionType", Union)


class Malformed(ValueError):
    """`path: what is wrong` of the first value that does not fit its record."""


def to_json(value: Any) -> Any:
    """Plain dicts, lists and scalars of a record; NaN and infinity become None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def dumps(value: Any, **options: Any) -> str:
    """One line of JSON unless `indent` is given; keys in the order of the fields."""
    return json.dumps(to_json(value), ensure_ascii=False, allow_nan=False, **options)


def from_json(kind: Type[Record], data: Any, where: str = "") -> Record:
    """Rebuild `kind` from the output of `to_json`; unknown keys are ignored, for newer files.

    Raises Malformed with the path of the value, what was expected and what was found.
    """
    result: Record = _value(kind, data, where or kind.__name__)
    return result


def loads(kind: Type[Record], text: Union[str, bytes], where: str = "") -> Record:
    """`from_json` of JSON text; raises Malformed also for invalid or too deeply nested JSON."""
    return from_json(kind, parse(text, where or kind.__name__), where)


def parse(text: Union[str, bytes], where: str) -> Any:
    """JSON in UTF-8 as plain values, all of which can be written again and computed with.

    Raises Malformed for deep nesting, lone surrogates, and numbers beyond int64 or double.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        text.encode("utf-8")
        data = _DECODER.decode(text)
        if _HALF_PAIR.search(text):
            _check_texts(data)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{where}: not JSON: {error}") from None
    return data


def _whole(text: str) -> int:
    if len(text) > 20 or not -(1 << 63) <= int(text) < 1 << 63:
        raise ValueError(f"the number {text[:20]}... exceeds 64 bits")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} exceeds a double")
    return value


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a number")


_DECODER = json.JSONDecoder(parse_int=_whole, parse_float=_real, parse_constant=_no_number)


def _check_texts(data: Any) -> None:
    """Raises ValueError for text that UTF-8 cannot encode."""
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            value.encode("utf-8")
        elif isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value


@functools.lru_cache(maxsize=None)
def _hints(kind: Type[Any]) -> Dict[str, Any]:
    return get_type_hints(kind)


def _value(kind: Any, data: Any, where: str) -> Any:
    if kind is Any:
        return _plain(data, where, _DEEPEST)
    if dataclasses.is_dataclass(kind):
        return _record(kind, data, where)
    origin = get_origin(kind)
    if origin is Union or origin is _PIPE:
        return _union(get_args(kind), data, where)
    if origin is Literal:
        if data not in get_args(kind) or isinstance(data, bool):
            raise Malformed(
                f"{where}: expected one of {', '.join(map(str, get_args(kind)))}, got {_seen(data)}"
            )
        return data
    if origin is tuple:
        return _tuple(get_args(kind), data, where)
    if origin is dict:
        if not isinstance(data, dict):
            raise Malformed(f"{where}: expected an object, got {_seen(data)}")
        return {
            key: _value(get_args(kind)[1], item, f"{where}.{key}") for key, item in data.items()
        }
    return _scalar(kind, data, where)


def _plain(data: Any, where: str, depth: int) -> Any:
    if isinstance(data, (dict, list)):
        if not depth:
            raise Malformed(f"{where}: nested too deeply")
        for value in data.values() if isinstance(data, dict) else data:
            _plain(value, where, depth - 1)
    return data


def _record(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise Malformed(f"{where}: expected an object, got {_seen(data)}")
    hints = _hints(kind)
    values: Dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.name in data:
            values[field.name] = _value(
                hints[field.name], data[field.name], f"{where}.{field.name}"
            )
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise Malformed(f"{where}.{field.name}: missing")
    return kind(**values)


def _union(kinds: Any, data: Any, where: str) -> Any:
    problems: List[str] = []
    for kind in kinds:
        try:
            return _value(kind, data, where)
        except Malformed as error:
            problems.append(str(error))
    raise Malformed(problems[0])


def _tuple(kinds: Any, data: Any, where: str) -> Any:
    if not isinstance(data, (list, tuple)):
        raise Malformed(f"{where}: expected a list, got {_seen(data)}")
    return tuple(_value(kinds[0], item, f"{where}[{i}]") for i, item in enumerate(data))


def _scalar(kind: Any, data: Any, where: str) -> Any:
    if kind is type(None):
        if data is None:
            return None
    elif kind is float:
        if isinstance(data, (int, float)) and not isinstance(data, bool) and _is_finite(data):
            return float(data)
    elif isinstance(data, kind) and not (kind is int and isinstance(data, bool)):
        return data
    name = "null" if kind is type(None) else kind.__name__
    raise Malformed(f"{where}: expected {name}, got {_seen(data)}")


def _is_finite(number: Union[int, float]) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def _seen(data: Any) -> str:
    try:
        text = repr(data)
    except (RecursionError, ValueError):  # too deep; a number of too many digits
        text = type(data).__name__
    return text if len(text) <= 60 else text[:57] + "..."
