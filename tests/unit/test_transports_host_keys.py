"""known_hosts as OpenSSH reads it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

import pytest

from harness.transports.host_keys import host_keys, matches


def blob(kind: str = "ssh-ed25519", seed: int = 0) -> bytes:
    return len(kind).to_bytes(4, "big") + kind.encode() + bytes([0, 0, 0, 32]) + bytes([seed] * 32)


def line(names: str, seed: int = 0, marker: str = "") -> bytes:
    text = f"{marker} {names} ssh-ed25519 {base64.b64encode(blob(seed=seed)).decode()} me"
    return text.strip().encode() + b"\n"


def hashed(name: str) -> str:
    salt = bytes(range(20))
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return "|1|" + "|".join(base64.b64encode(part).decode() for part in (salt, digest))


@pytest.mark.parametrize(
    "broken",
    [
        b"old ssh-rsa AAAAB3NzaC1yc2EAAA\n",
        b"old ssh-rsa\n",
        b"old ssh-ed25519 !!!\n",
        b"# M\xfcller's laptop\n",
        b"old ssh-rsa AAAAB3Nza\xfc== M\xfcller\n",
        b"|1|x|y ssh-ed25519 AAAA\n",
        b"\x00\xff\n",
        b"@cert-authority *.lab ssh-rsa AAAA\n",
    ],
)
def test_a_broken_line_costs_no_other_host(tmp_path: Path, broken: bytes) -> None:
    path = tmp_path / "known_hosts"
    path.write_bytes(broken + line("orin"))
    (found,) = host_keys([path], "orin").accepted
    assert (found.kind, found.blob, found.line) == ("ssh-ed25519", blob(), broken.count(b"\n") + 1)


@pytest.mark.parametrize(
    ("names", "host", "port", "known"),
    [
        ("orin,10.0.0.7", "10.0.0.7", 22, True),
        ("ORIN", "orin", 22, True),
        ("*.lab", "orin.lab", 22, True),
        ("*.lab,!orin.lab", "orin.lab", 22, False),
        ("[orin]:2222", "orin", 2222, True),
        ("[orin]:*", "orin", 2222, True),
        (hashed("orin"), "orin", 22, True),
        (hashed("[orin]:2222"), "orin", 2222, True),
        (hashed("other"), "orin", 22, False),
    ],
)
def test_names_are_matched_as_openssh_does(
    tmp_path: Path, names: str, host: str, port: int, known: bool
) -> None:
    path = tmp_path / "known_hosts"
    path.write_bytes(line(names))
    found = host_keys([path, tmp_path / "none", tmp_path], host, port)
    assert found.verdict("ssh-ed25519", blob()) == ("known" if known else "unknown")


def test_a_revoked_key_is_apart(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_bytes(line("orin", 1) + line("*", 2, "@revoked"))
    found = host_keys([path], "orin")
    assert [key.blob for key in found.accepted] == [blob(seed=1)]
    assert [key.blob for key in found.revoked] == [blob(seed=2)]


KEY, OTHER, RSA = blob(), blob(seed=1), blob("ssh-rsa")


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        (line("[orin]:2222"), "known"),
        (line("[orin]:2222", 1), "changed"),
        (line("[orin]:2222", 1) + line("[orin]:2222"), "known"),
        (line("[orin]:2222") + line("*", marker="@revoked"), "revoked"),
        (line("[orin]:2222") + line("other", marker="@revoked"), "known"),
        (line("[orin]:2222") + line("*", marker="@nonsense"), "known"),
        (line("[orin]:*", marker="@cert-authority"), "unknown"),
        (b"", "unknown"),
    ],
)
def test_a_key_is_judged_as_openssh_does(tmp_path: Path, lines: bytes, verdict: str) -> None:
    path = tmp_path / "known_hosts"
    path.write_bytes(lines)
    found = host_keys([path], "Orin", 2222)
    assert found.verdict("ssh-ed25519", KEY) == verdict


def test_a_line_without_a_port_only_counts_where_there_is_none_with_it(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_bytes(line("orin"))
    found = host_keys([path], "orin", 2222)
    assert found.verdict("ssh-ed25519", KEY) == "known"
    assert found.verdict("ssh-ed25519", OTHER) == "unknown"  # and not changed
    path.write_bytes(line("orin") + line("[orin]:2222", 1))
    assert host_keys([path], "orin", 2222).verdict("ssh-ed25519", KEY) == "changed"


def test_a_key_of_another_type_is_unknown_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_bytes(line("orin"))
    found = host_keys([path], "orin")
    assert (found.verdict("ssh-rsa", RSA), found.kinds) == ("unknown", ("ssh-ed25519",))


@pytest.mark.parametrize(
    ("pattern", "known"),
    [
        *(("orin.lab", True), ("*", True), ("o*", True), ("*.lab", True), ("*i*a*", True)),
        *(("orin.la?", True), ("?r*", True), ("orin.lab*", True), ("**orin**", True)),
        *(("orin", False), ("*.la", False), ("?orin.lab", False), ("orin.lab?", False)),
        *(("", False), ("[o]*", False), ("*x*", False), ("orin.lab.x", False)),
    ],
)
def test_a_pattern_has_two_wildcards_and_no_others(pattern: str, known: bool) -> None:
    assert matches("orin.lab", pattern) is known
