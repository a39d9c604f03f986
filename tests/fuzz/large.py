"""Large inputs that once broke a reader, as expressions: folder of the corpus -> name -> input."""

from __future__ import annotations

from typing import Final

_KEY: Final = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"
_NAMED: Final = b'{"images": [{"id": 1, "file_name": "%b"}], "annotations": [], "categories": []}'
LARGE: Final[dict[str, dict[str, bytes]]] = {
    "dataset-annotations": {"long-name": _NAMED % (b"../a/" * 3000)},
    "docker-config.json": {"deep": b'{"a":' * 3000},
    "known-hosts": {
        "many-patterns": b",".join(b"a%d*" % n for n in range(20_000)) + b" %bAAAAAXg=\n" % _KEY,
        "very-many-parts": b"orin.lab %b" % _KEY + b"A" * 199_980 + b"\n",
    },
    "scenario.yaml": {"unknown-keys": b"".join(b"mdels%d: x\n" % n for n in range(4000))},
    "ssh-address": {
        "very-many-files": b"a@b?config=none&known_hosts=/x" + b"- " * 40_000,
    },
    "ssh-config": {
        "blanks-and-a-quote": b"Match" + b" " * 60_001 + b'"',
        "many-lines": b"a\n" * 60_000,
    },
}
