"""Wrong inputs out of right ones: reproducible by their seed, of any format.

Bytes are flipped, cut, doubled and moved; numbers, words and brackets become those that readers
have stumbled over; `shapes` change a document's values or an archive's members and put it together
again, so that what lies deeper is reached too.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

#: of an input; a few are blown up to LARGE_BYTES, to see that time stays linear
MOST_BYTES: Final = 64 << 10
LARGE_BYTES: Final = 1 << 20
LARGE_OF: Final = 400

NUMBERS: Final = (
    b"0", b"-1", b"1", b"-0", b"00", b"0.5", b"1e400", b"-1e400", b"1e308", b"1e-400", b"NaN", b"nan",
    b"Infinity", b"-inf", b"inf", b"255", b"256", b"4095", b"4096", b"65535", b"65536",
    b"2147483647", b"2147483648", b"-2147483649", b"4294967295", b"4294967296", b"9007199254740993",
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809",
    b"18446744073709551616", b"9" * 400, b"9" * 5000, b"-" + b"9" * 5000, b"1_000", b"0x10", b"1.2.3",
    b"1e9", b"1e18", b"-1e18", b"\xc2\xb2", b"\xd9\xa3", b"0" * 5000, b"1." + b"1" * 5000,
)  # fmt: skip
WORDS: Final = (
    b"", b" ", b"\t", b"\n", b"\r\n", b"\r", b"\0", b"\x1b[2J", b"\x1b]52;c;ZXZpbA==\x07",
    b"\x1b]8;;http://evil\x07", b"\x7f", b"\xc2\x9b2J", b"\xe2\x80\xae", b"\xed\xa0\x80", b"\xed\xb0\x80",
    b"\\ud800", b"\\udc00\\ud800", b"\\u0000", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xc3\x28",
    b"../", b"..", b".", b"/", b"//", b"~", b"-", b"--", b"%", b"%s", b"%n", b"{}", b"${HOME}", b"$(id)", b"`id`",
    b"null", b"true", b"false", b"None", b"[]", b"{}", b'""', b'"', b"'", b"\\", b":", b"=", b",", b";", b"|", b"#",
    b"&a", b"*a", b"!!python/object:os.system", b"<<", b"- ", b"---", b"...", b"?", b"@", b"\xe2\x80\xa8", b"\x85", b"\x0c", b"\x1c",
)  # fmt: skip
OPENERS: Final = (
    b"[",
    b'{"a":',
    b"(",
    b"- ",
    b"{",
    b"[[",
    b"&a [*a,",
    b"<",
    b"\x1b[",
    b"(?:",
    b"d",
    b"'",
)
DEPTHS: Final = (2, 20, 100, 1000, 5000, 30_000)
BOUNDS: Final = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 1 << 20, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
                 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)  # fmt: skip
VALUES: Final = (
    None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, 10**15, 2**63 - 1, 2**63, -(2**63) - 1, 10**400, "", " ",
    "a", "\0", "\ud800", "\u202e", "\x1b[2J", "9" * 5000, "../x", "a" * 300, "NaN", "1e400", "²", [], {}, [[]], [{}],
    [None], {"": None}, {"\ud800": 1}, [0] * 1000, ["a"] * 300, float("nan"), float("inf"),
)  # fmt: skip
_NUMBER: Final = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?")
_WORD: Final = re.compile(rb"[A-Za-z_][A-Za-z_0-9]*")

Change = Callable[[Random, bytes, Sequence[bytes], Sequence[bytes]], bytes]


class Mutator:
    """Inputs from a pool of seeds; whoever finds one that leads further adds it."""

    def __init__(
        self,
        seeds: Sequence[bytes],
        rng: Random,
        words: Sequence[bytes] = (),
        shapes: Sequence[Callable[[Random, bytes, Callable[[bytes], bytes]], bytes]] = (),
    ) -> None:
        self.pool, self._rng = list(seeds), rng
        self._words, self._shapes = (*words, *WORDS), shapes

    def next(self) -> bytes:
        """One more input."""
        rng = self._rng
        data = rng.choice(self.pool)
        if self._shapes and rng.random() < 0.6:
            data = rng.choice(self._shapes)(rng, data, self._changed)
            if rng.random() < 0.8:
                return data[:LARGE_BYTES]
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 6))):
            data = self._changed(data)
        return _blown_up(rng, data) if rng.randrange(LARGE_OF) == 0 else data[:MOST_BYTES]

    def _changed(self, data: bytes) -> bytes:
        return self._rng.choice(CHANGES)(self._rng, data, self.pool, self._words)


def _span(rng: Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 1, 2, 4, 8, 16, 64, 512)))


def _flip(rng: Random, data: bytes, pool: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _byte(rng: Random, data: bytes, pool: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + bytes((rng.choice((0, 10, 13, 27, 32, 34, 92, 127, 128, 255, rng.randrange(256))),)) + data[at + 1 :]  # fmt: skip


def _cut(rng: Random, data: bytes, pool: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    start, end = _span(rng, data)
    return data[:start] if rng.random() < 0.3 else data[:start] + data[end:]


def _double(rng: Random, data: bytes, pool: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    start, end = _span(rng, data)
    times = rng.choice((2, 2, 3, 10, 300, 3000))
    return data[:start] + (data[start:end] * times)[:MOST_BYTES] + data[end:]


def _move(rng: Random, data: bytes, pool: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    start, end = _span(rng, data)
    part, rest = data[start:end], data[:start] + data[end:]
    at = rng.randrange(len(rest) + 1)
    return rest[:at] + part + rest[at:]


def _splice(rng: Random, data: bytes, pool: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    other = rng.choice(pool)
    start, end = _span(rng, other)
    at = rng.randrange(len(data) + 1)
    return data[:at] + other[start : end if rng.random() < 0.5 else None] + data[at if rng.random() < 0.5 else len(data) :]  # fmt: skip


def _word(rng: Random, data: bytes, pool: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(words) + data[at:]


def _replaced(rng: Random, data: bytes, what: re.Pattern[bytes], by: Sequence[bytes]) -> bytes:
    found = list(what.finditer(data, rng.randrange(len(data) + 1) if len(data) > 4096 else 0))[:400]
    if not found:
        return data + rng.choice(by)
    start, end = rng.choice(found).span()
    return data[:start] + rng.choice(by) + data[end:]


def _number(rng: Random, data: bytes, pool: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    return _replaced(rng, data, _NUMBER, NUMBERS)


def _name(rng: Random, data: bytes, pool: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    return _replaced(rng, data, _WORD, words)


def _bound(rng: Random, data: bytes, pool: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    size, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
    value = (rng.choice(BOUNDS) + rng.choice((0, 0, -1, 1))) % (1 << 8 * size)
    at = rng.randrange(max(1, len(data) - size))
    return data[:at] + value.to_bytes(size, order) + data[at + size :]  # type: ignore[arg-type]


def _deep(rng: Random, data: bytes, pool: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + (rng.choice(OPENERS) * rng.choice(DEPTHS))[:MOST_BYTES] + data[at:]


def _lines(rng: Random, data: bytes, pool: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    how = rng.randrange(4)
    if how == 0:
        del lines[at]
    elif how == 1:
        lines[at:at] = [lines[at]] * rng.choice((1, 2, 50))
    elif how == 2:
        lines[at] = rng.choice(rng.choice(pool).split(b"\n"))
    else:
        rng.shuffle(lines)
    return b"\n".join(lines)


CHANGES: Final[tuple[Change, ...]] = (
    *(_flip, _byte, _cut, _cut, _double, _move, _splice, _word, _word),
    *(_number, _number, _name, _name, _bound, _deep, _lines),
)


def _blown_up(rng: Random, data: bytes) -> bytes:
    """A part of it very often: what is not linear takes long."""
    start, end = _span(rng, data)
    part = rng.choice((data[start:end], data, rng.choice(WORDS), rng.choice(OPENERS))) or b"a"
    return (data[:start] + part * (LARGE_BYTES // len(part)) + data[end:])[:LARGE_BYTES]


# ---- structures --------------------------------------------------------------------------------


def json_value(rng: Random, data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Another value, a key more or less, somewhere in a JSON document, or in one of its lines."""
    lines = data.split(b"\n")
    whole = data[:1] in b"{[" and len(lines) > 1 and lines[0].strip() in (b"{", b"[")
    at = 0 if whole else rng.randrange(len(lines))
    try:
        document = [json.loads(data if whole else lines[at])]
    except (ValueError, RecursionError):
        return change(data)
    places = list(_places(document))
    holder, key = rng.choice(places)
    _changed_at(rng, holder, key, places)
    made = json.dumps(document[0] if document else None).encode("utf-8", "surrogatepass")
    if whole:
        return made
    lines[at] = made
    return b"\n".join(lines)


def _places(document: Any) -> Sequence[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting and len(found) < 2000:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], (dict, list)):
                waiting.append(holder[key])
    return found


def _changed_at(rng: Random, holder: Any, key: Any, places: Sequence[tuple[Any, Any]]) -> None:
    how = rng.randrange(8)
    if how < 4:
        holder[key] = rng.choice(VALUES)
    elif how == 4:
        other, at = rng.choice(places)
        holder[key] = json.loads(json.dumps(other[at]))
    elif how == 5:
        del holder[key]
    elif how == 6 and isinstance(holder, list):
        holder[key:key] = [holder[key]] * rng.choice((1, 2, 100))
    elif isinstance(holder[key], str):
        text = holder[key]
        at = rng.randrange(len(text) + 1)
        holder[key] = text[:at] + rng.choice((*"\0\ud800\x1b\u202e/:%²\n", "9" * 400)) + text[at:]
    else:
        holder[key] = {"a": holder[key], "": [holder[key]]}


def zip_member(rng: Random, data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """One member of an archive other than it was, and the archive's sums as they should be."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # one that was damaged before
        return change(data)
    if not members:
        return change(data)
    at = rng.randrange(len(members))
    name, content = members[at]
    how = rng.randrange(10)
    if how == 0:
        members[at:] = members[at + 1 :]
    elif how == 1:
        members.append((rng.choice((name, "x.npy", "../x", "\0", "", "x" * 300)), content))
    elif how < 7:
        members[at] = name, _array_changed(rng, content)
    else:
        members[at] = name, change(content)[:MOST_BYTES]
    return _zipped(members, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def _zipped(members: Sequence[tuple[str, bytes]], how: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = how
            archive._didModify = True
            archive.NameToInfo.pop(info.filename, None)  # a name that comes twice is no warning
            archive.writestr(info, content)
    return out.getvalue()


SIDES: Final = (b"", b"0,", b"1,", b"-1,", b"3, 4", b"9" * 12 + b",", b"0, 999999999", b"1" + b"0" * 30 + b",", b"1, " * 40)  # fmt: skip
TYPES: Final = (b"<f8", b"<f4", b"<f2", b"<i8", b"<i4", b"|i1", b"|u1", b"<u8", b"|b1", b"|O", b"<U9", b">i8", b"<c16", b"<M8[ns]")  # fmt: skip


def _array_changed(rng: Random, content: bytes) -> bytes:
    """Another shape, type or value of an array, its header as long as it says."""
    if content[:6] != b"\x93NUMPY" or len(content) < 10:
        return content
    length = int.from_bytes(content[8:10], "little")
    head, body = content[10 : 10 + length], content[10 + length :]
    if rng.random() < 0.3:
        head = re.sub(
            rb"'shape': \([^)]*\)", lambda _: b"'shape': (" + rng.choice(SIDES) + b")", head
        )
    elif rng.random() < 0.4:
        head = re.sub(
            rb"'descr': '[^']*'", lambda _: b"'descr': '" + rng.choice(TYPES) + b"'", head
        )
    else:
        size = rng.choice((1, 4, 8))
        at = rng.randrange(max(1, len(body) // size)) * size
        odd = rng.choice(
            (*BOUNDS, 0x7FC00000, 0x7FF8 << 48, 0x7F800000, 0x7F7FFFFF, 0x7FEFFFFF << 32)
        )
        body = body[:at] + (odd % (1 << 8 * size)).to_bytes(size, "little") + body[at + size :]
    return content[:8] + len(head).to_bytes(2, "little") + head + body


def tar_header(rng: Random, data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A field of a member's header other than it was, and its checksum as it should be."""
    blocks = [at for at in range(0, len(data) - 511, 512) if data[at + 257 : at + 262] == b"ustar"]
    if not blocks:
        return change(data)
    at = rng.choice(blocks)
    head = bytearray(data[at : at + 512])
    start, size = rng.choice(
        ((0, 100), (100, 8), (124, 12), (156, 1), (157, 100), (257, 8), (345, 155))
    )
    field = (change(bytes(head[start : start + size]).rstrip(b"\0")) or b"\0")[:size]
    if size == 1:
        field = rng.choice(
            (b"0", b"1", b"2", b"3", b"5", b"6", b"7", b"L", b"K", b"x", b"g", b"S", b"\0", b"V")
        )
    if start == 124:
        field = rng.choice(
            (
                b"%011o" % rng.choice((0, 1, 511, 512, 1 << 16, 1 << 30)),
                b"\x80" + b"\xff" * 11,
                b"9" * 11,
            )
        )
    head[start : start + size] = field.ljust(size, b"\0")
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return data[:at] + bytes(head) + data[at + 512 :]


def message(rng: Random, data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A field of one of ADB's messages other than it was; its check as it should be."""
    heads, at = [], 0
    while at + 24 <= len(data):
        heads.append(at)
        at += 24 + min(int.from_bytes(data[at + 12 : at + 16], "little"), len(data))
    if not heads:
        return change(data)
    at = rng.choice(heads)
    fields = list(struct.unpack_from("<6I", data, at))
    which = rng.randrange(4)
    fields[which] = rng.choice(BOUNDS) & 0xFFFFFFFF
    if which == 0:
        fields[0] = int.from_bytes(
            rng.choice((b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"WRTE", b"CLSE", b"STLS")), "little"
        )
    fields[5] = fields[0] ^ 0xFFFFFFFF
    return data[:at] + struct.pack("<6I", *fields) + data[at + 24 :]
