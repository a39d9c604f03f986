"""Targets: what arrives from devices over their wires: ADB, SSH's surroundings, archives."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import re
import shutil
import tarfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

from hostile.lying_adbd import EXIT, STDERR, STDOUT, marks, message, packet

from harness.errors import BenchError
from harness.lab import adbd_keys
from harness.lines import Lines
from harness.printable import last_line, one_line, printable
from harness.transports import (
    adb_client,
    adb_list,
    adb_server,
    endpoint,
    host_keys,
    manifest,
    ssh_address,
    ssh_config,
    ssh_keys,
)
from harness.transports.adb_channel import PlainExec, ShellV2
from harness.transports.adb_messages import Messages, shake_hands
from harness.transports.adb_wire import Wire
from harness.transports.channel import CommandOutput, Exited, collect
from harness.transports.execute import ask, execute
from harness.transports.local_networks import addresses, is_in
from harness.transports.pull import pull
from harness.transports.ssh_config_copies import Copies, read_lines
from harness.untrusted import files, tar
from harness.untrusted.budget import Allowance, Budget
from harness.untrusted.removal import remove

from . import mutate
from .target import Reader, Target, of_file, of_text, pure, text_of

GREETING: Final = message(
    b"CNXN", 0x01000001, 1 << 20, b"device::ro.product.name=x;features=shell_v2,cmd"
)
#: what a device may send before it is over
MOST_EVENTS: Final = 2000


class Cable:
    """What a device sends, whole; what is sent to it is lost.

    From byte `gate` on only after a service was opened: no device answers before it is asked. It
    goes when its data was taken, or nobody takes it.
    """

    def __init__(self, data: bytes, gate: int | None = None) -> None:
        self._data, self._at, self._gate = data, 0, gate
        self._opened, self._taken = threading.Event(), threading.Event()

    def read(self, size: int) -> bytes:
        if self._gate is not None and self._at >= self._gate:
            self._opened.wait(10)
        if self._at + size > len(self._data):
            if self._gate is not None:
                self._taken.wait(0.01)
            raise ConnectionResetError("the other side is gone")
        self._at += size
        return self._data[self._at - size : self._at]

    def write(self, head: bytes, data: bytes) -> None:
        if head[:4] == b"OPEN":
            self._opened.set()
        if head[:4] in (b"OKAY", b"CLSE"):
            self._taken.set()

    def close(self) -> None:
        self._opened.set()
        self._taken.set()


def handshake(folder: Path) -> Reader:
    os.environ["BENCH_CACHE"] = str(folder)
    return lambda data: shake_hands("dut", Messages(Cable(data)))


def wire(data: bytes) -> object:
    """A command by shell v2 over a cable, until it ends or the cable does."""
    cable = Cable(GREETING + data, len(GREETING))
    way = Wire("dut", cable)
    try:
        return list(collect(ShellV2("dut", way, "true", None), 10.0, 10.0))
    finally:
        way.close()


class Stream:
    """A service that sends its bytes in pieces."""

    def __init__(self, data: bytes) -> None:
        step = max(1 + data[0] % 64 if data else 1, len(data) // MOST_EVENTS)
        self._pieces = [data[at : at + step] for at in range(0, len(data), step)][::-1]

    def send(self, data: bytes, timeout_s: float) -> None:
        pass

    def receive(self, timeout_s: float) -> bytes | None:
        return self._pieces.pop() if self._pieces else b""

    def close(self) -> None:
        pass


class Way:
    """A link whose only service is that stream; `MARK` in its data is the word it is asked for."""

    features, longest_service, alive = frozenset({"shell_v2"}), 1 << 20, True

    def __init__(self, data: bytes) -> None:
        self._data = data

    def open(self, service: str, timeout_s: float) -> Stream:
        mark = re.search(r"bench-[0-9a-f]{16}-ended", service)
        return Stream(self._data.replace(b"MARK", mark[0].encode() if mark else b"MARK"))

    def check(self, doing: str) -> None:
        pass

    def close(self) -> None:
        pass


def over(kind: type[ShellV2] | type[PlainExec]) -> Callable[[bytes], object]:
    return lambda data: list(collect(kind("dut", Way(data), "true", None), 10.0, 10.0))  # type: ignore[arg-type]


class Server(adb_client.Server):
    """An adb server that answers each connection with the same."""

    said = b""

    def connect(self) -> Any:
        return Socket(self.said)


class Socket:
    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def recv(self, size: int) -> bytes:
        return self._file.read(size)

    def sendall(self, data: bytes) -> None:
        pass

    def settimeout(self, seconds: float) -> None:
        pass

    def close(self) -> None:
        pass

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


def server(data: bytes) -> object:
    asked = Server()
    object.__setattr__(asked, "said", data)
    with contextlib.suppress(BenchError):
        adb_server.ServedDevice("dut", asked, "S1:5555")
    return adb_list.listed(asked)


def devices_list(data: bytes) -> object:
    data = data[: adb_client.LONGEST_BYTES]
    found = [adb_list.parse(line) for line in text_of(data).splitlines() if line.strip()]
    for one in found:
        one.serial.encode()
    return found


def server_environment(text: str) -> object:
    names = ("ADB_SERVER_SOCKET", "ANDROID_ADB_SERVER_ADDRESS", "ANDROID_ADB_SERVER_PORT")
    values = [line for line in text.split("\n") if line]
    return adb_client.default(dict(zip(names, values, strict=False)))


# ---- commands and files ------------------------------------------------------------------------


class Channel:
    """A command that a device has begun: its outputs in pieces, then its exit."""

    def __init__(self, service: str, data: bytes, splits_output: bool) -> None:
        plain = service.replace("' '", "")
        mark = marks(plain)
        token = re.search(r"set -- (bench-[0-9a-f]{16})", plain)
        data = data.replace(b"TOKEN", token[1].encode() if token else b"")
        step = max(1 + data[0] % 64 if data else 1, len(data) // MOST_EVENTS)
        pieces = [data[at : at + step] for at in range(0, len(data), step)]
        events: list[Any] = [CommandOutput(mark), CommandOutput(mark, splits_output)]
        events += [
            CommandOutput(one[1:], True) if one[:1] == b"\2" else CommandOutput(one)
            for one in pieces
        ]
        self._events = [*events, Exited(data[-1] & 1 if data else 0)][::-1]

    def send(self, data: bytes) -> None:
        pass

    def end(self) -> None:
        pass

    def receive(self, timeout_s: float) -> CommandOutput | Exited | None:
        return self._events.pop() if self._events else None

    def close(self) -> None:
        pass


class Connection:
    name, ends_input, longest_command = "dut", True, 1 << 20

    def __init__(self, data: bytes, splits_output: bool) -> None:
        self._data, self.splits_output = data, splits_output

    def open(self, command: str, *, urgent: bool = False) -> Channel:
        return Channel(command, self._data, self.splits_output)

    def close(self) -> None:
        pass


def pulled(folder: Path) -> Reader:
    there = folder / "pulled"

    def read(data: bytes) -> object:
        try:
            return pull(Connection(data, True), PurePosixPath("/x/out"), there, Budget(1 << 20, 40))
        finally:
            remove(there)
            assert not list(folder.iterdir())

    return read


def executed(data: bytes) -> object:
    lines: list[str] = []
    device = Connection(data, data[:1] != b"S")
    done = execute(device, ["true"], 10.0, lines.append)
    return done.text, ask(device, "true"), lines


def unpacked(folder: Path) -> Reader:
    def read(data: bytes) -> object:
        into = folder / "into"
        into.mkdir()
        pieces = [data[at : at + (1 << 14)] for at in range(0, len(data), 1 << 14)][::-1]
        try:
            with files.handle(into) as opened:
                more = lambda: pieces.pop() if pieces else b""  # noqa: E731
                tar.unpack(more, opened, Allowance(Budget(1 << 20, files=40)))
            for path in into.rglob("*"):
                assert path.is_dir() or (path.is_file() and not path.is_symlink())
                assert path.stat().st_mode & 0o7022 == 0
        finally:
            remove(into)
            assert not list(folder.iterdir())
        return data

    return read


def _tars() -> list[bytes]:
    made = []
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
            for name, size in (
                ("./", None),
                ("./a.txt", 3),
                ("./sub/", None),
                ("./sub/b.bin", 600),
                ("n" * 90 + "/" + "m" * 60, 5),
            ):
                info = tarfile.TarInfo(name.rstrip("/") or ".")
                info.mode = 0o755 if size is None else 0o644
                info.type = tarfile.DIRTYPE if size is None else tarfile.REGTYPE
                info.size = size or 0
                archive.addfile(info, io.BytesIO(b"x" * (size or 0)))
        made.append(out.getvalue()[:10240])
    return made


def lines(data: bytes) -> object:
    """Output of jobs and devices, as it is shown."""
    told: list[str] = []
    cut = Lines(lambda line: told.append(printable(line)))
    step = max(1 + data[0] if data else 1, len(data) // MOST_EVENTS)
    for at in range(0, len(data), step):
        cut.feed(data[at : at + step])
    cut.end()
    for text in (*told, last_line(data), one_line(printable(text_of(data)))):
        assert "\x1b" not in text
        text.encode()
    return told


# ---- SSH ---------------------------------------------------------------------------------------


def without_ssh(make: Callable[[Path], Reader]) -> Callable[[Path], Reader]:
    """Where there is no OpenSSH: what it would read is read here."""

    def made(folder: Path) -> Reader:
        os.environ["PATH"], os.environ["HOME"] = "", str(folder / "home")
        os.environ["BENCH_X"] = "secret"
        (folder / "home").mkdir()
        return make(folder)

    return made


def address(folder: Path) -> Reader:
    def read(data: bytes) -> object:
        found = ssh_address.read("dut", text_of(data))
        assert "secret" not in repr(found)
        return found, ssh_address.hops("dut", found)

    return read


def foreign_config(path: Path) -> object:
    """By paramiko; and made ready for OpenSSH."""
    with contextlib.suppress(BenchError):
        ssh_config.lookup("dut", "orin", str(path), "u", 22)
    try:
        read_lines(path)
    except OSError:  # of which `lookup` makes one of ours
        return None
    copies = path.parent / "copies"
    copies.mkdir()
    try:
        made = Copies("dut", copies, trusted=False)
        made.of([(path, path.parent)], "")
        made.check(["BENCH_MATCH_EXEC_0"])
        return made
    finally:
        shutil.rmtree(copies)


def openssh_config(path: Path) -> object:
    """By `ssh -G` itself, where it is."""
    return ssh_address.read("dut", f"orin?config={path}")


def known_hosts(path: Path) -> object:
    found = [
        host_keys.host_keys([path], host, port) for host, port in (("orin.lab", 22), ("::1", 2200))
    ]
    return [one.verdict("ssh-ed25519", b"x") for one in found], [one.kinds for one in found]


def private_key(path: Path) -> object:
    ssh_keys.public_blob(path)
    return ssh_keys.load(path, "secret")


def _blob() -> bytes:
    parts = (b"ssh-ed25519", bytes(32))
    return base64.b64encode(b"".join(len(p).to_bytes(4, "big") + p for p in parts))


def _known_hosts() -> list[bytes]:
    line = b"orin.lab,[::1]:2200 ssh-ed25519 " + _blob() + b" comment\n"
    hashed = (
        b"|1|"
        + base64.b64encode(bytes(20))
        + b"|"
        + base64.b64encode(bytes(20))
        + b" ssh-ed25519 "
        + _blob()
        + b"\n"
    )
    return [
        line
        + hashed
        + b"@revoked * ssh-ed25519 "
        + _blob()
        + b"\n@cert-authority *.lab ssh-rsa x\n# c\n!a*,b? ssh-rsa "
        + _blob()
    ]


def _keys() -> list[bytes]:
    from cryptography.hazmat.primitives import serialization as way
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    made: list[bytes] = []
    keys: Sequence[Any] = (
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65537, 1024),
    )
    for key in keys:
        made.append(
            key.private_bytes(way.Encoding.PEM, way.PrivateFormat.OpenSSH, way.NoEncryption())
        )
        made.append(
            key.private_bytes(way.Encoding.PEM, way.PrivateFormat.PKCS8, way.NoEncryption())
        )
    return made


def _adb_key() -> bytes:
    raw = (
        (64).to_bytes(4, "little")
        + bytes(4)
        + bytes(range(256)) * 2
        + (65537).to_bytes(4, "little")
    )
    return base64.b64encode(raw) + b" bench@host\0"


def networks(text: str) -> object:
    return is_in(text, addresses() or frozenset())


CONFIG: Final = (
    b"# farm\nHost orin *.lab !bad\n  HostName 10.0.0.7\n  Port 2200\n  User ann\n  IdentityFile ~/.ssh/%h_key\n"
    b"  ProxyJump gate:22\n  ConnectTimeout 5\n\nMatch host orin user ann\n  HostKeyAlias x\nMatch localnetwork 10.0.0.0/8\n"
    b"Include other\nMatch final all\n  UserKnownHostsFile \"/a b\" /c\n"
)  # fmt: skip
CONFIG_WORDS: Final = (
    b"Include ", b"Match exec ", b"Match ", b"ProxyCommand ", b"Host ", b"localnetwork ", b"\"", b"=", b"%h", b"%%", b"${X}",
    b"CanonicalizeHostname yes\n", b"none", b"~user/", b"*", b"?", b"!", b"canonical", b"tagged ",
)  # fmt: skip
PAIR: Final = message(b"OKAY", 7, 1) + message(
    b"WRTE", 7, 1, packet(STDOUT, b"out") + packet(STDERR, b"err")
)
TOKEN: Final = message(b"AUTH", 1, 0, bytes(20))
ADDRESSES: Final = (
    b"ann@orin.lab:2200?config=none&password=${env:BENCH_X}", b"[fd00::17]:22?config=none&jump=gate,ann@b:22",
    b"ssh://ann@[fe80::1%25lo]:22/?config=none&key=~/.ssh/a&known_hosts=~/k /b",
)  # fmt: skip
BROKEN: Final = (*ssh_keys.BROKEN, ssh_keys.NeedsPassphrase)

TARGETS: Final = (
    Target(
        "ADB handshake",
        handshake,
        lambda: [
            GREETING,
            message(b"CNXN", 0x01000000, 4096, b"device::\0"),
            TOKEN + GREETING,
            TOKEN + TOKEN + GREETING,
        ],
        (b"features=", b"device::", b"recovery::"),
        (mutate.message,),
        share=2,
    ),  # fmt: skip
    Target(
        "ADB messages",
        pure(wire),
        lambda: [
            PAIR + message(b"WRTE", 7, 1, packet(EXIT, b"\0")) + message(b"CLSE", 7, 1),
            PAIR + message(b"CLSE", 0, 1),
        ][:1],
        (message(b"OKAY", 7, 1), message(b"CLSE", 7, 1)),
        (mutate.message,),
        (BenchError, TimeoutError),
        10,
    ),  # fmt: skip
    Target(
        "ADB shell v2",
        pure(over(ShellV2)),
        lambda: [packet(STDOUT, b"out\n") + packet(STDERR, b"err") + packet(EXIT, b"\3")],
        (packet(EXIT, b"\1"), packet(EXIT, b"")),
        share=50,
    ),  # fmt: skip
    Target(
        "ADB exec",
        pure(over(PlainExec)),
        lambda: [b"out\nMARK 0\n", b"MARK 127\r\n"],
        (b"MARK", b" 0\n"),
        share=20,
    ),  # fmt: skip
    Target(
        "adb server",
        pure(server),
        lambda: [b"OKAY0012R5CT10\tdevice\n    OKAY0006device"],
        (b"OKAY", b"FAIL", b"0004", b"ffff"),
        share=40,
    ),  # fmt: skip
    Target(
        "adb devices -l",
        pure(devices_list),
        lambda: [
            b"R5CT10 device usb:1-2 product:p model:SM_G991B device:o1s transport_id:3\nx no permissions (user in plugdev); see [http://a] usb:1\n(no serial number) offline 1-2\n"
        ],
        (b" device", b" unauthorized", b"usb:", b"model:"),
        share=10,
    ),  # fmt: skip
    Target(
        "adb server's address",
        of_text(adb_client.of_address),
        lambda: [b"10.0.0.1:5037/R5CT10", b"[::1]:5037/[fe80::1%eth0]:5555", b"R5CT10"],
        (b"usb:", b"tcp:", b"%"),
        (),
        (BenchError, ValueError),
        40,
    ),  # fmt: skip
    Target(
        "adb's environment",
        of_text(server_environment),
        lambda: [b"tcp:10.0.0.1:5037\n", b"localabstract:x"],
        (b"tcp:", b"local:", b"+0x1"),
        share=25,
    ),  # fmt: skip
    Target("adb key", pure(adbd_keys.parse), lambda: [_adb_key()], (b"=",), (), (ValueError,), 30),
    Target(
        "pull",
        pulled,
        lambda: [b"F 644\ncontent", *(b"D\n" + one for one in _tars()[:2])],
        (b"D\n", b"F 755\n", b"\2No such file\n"),
        (mutate.tar_header,),
        share=3,
    ),  # fmt: skip
    Target(
        "tar",
        unpacked,
        _tars,
        (b"path=", b"size=", b"ustar", b"././@LongLink"),
        (mutate.tar_header,),
        share=12,
    ),
    Target(
        "command",
        pure(executed),
        lambda: [b"S\nTOKEN 123\nout", b"\2TOKEN 123\n\2err\nout", b"@\2TOKEN 12\n" + b"y" * 90],
        (b"TOKEN ", b"\2"),
        share=3,
    ),  # fmt: skip
    Target(
        "lines",
        pure(lines),
        lambda: [b"one\r\ntwo \x1b[32mgreen\x1b[0m\n\x1b]8;;http://x\x07l\x1b]8;;\x07\nlast"],
        (b"\x1b[", b"\x1b]", b"\x1bP", b"\x1b\\", b"\x9b"),
        share=10,
    ),  # fmt: skip
    Target(
        "manifest of a push",
        pure(manifest.parse),
        lambda: [b"644:ab ./x\x00644:cd y z\x00"],
        (b"\0", b" "),
        (),
        (),
        50,
    ),
    Target(
        "host and port",
        of_text(endpoint.split),
        lambda: [b"host:22", b"[fd00::1%eth0]:22", b"fe80::1"],
        (b"[", b"]", b":", b"%"),
        (),
        (ValueError,),
        50,
    ),  # fmt: skip
    Target(
        "ssh address",
        without_ssh(address),
        lambda: ADDRESSES,
        (b"?config=none", b"&", b"password=", b"${env:BENCH_X}", b"jump=", b"%2c", b"@"),
        share=8,
    ),  # fmt: skip
    Target(
        "ssh config",
        without_ssh(of_file("config", foreign_config)),
        lambda: [CONFIG],
        CONFIG_WORDS,
        share=4,
    ),
    Target(
        "ssh config, OpenSSH",
        of_file("config", openssh_config),
        lambda: [CONFIG.replace(b"Include other\n", b"")],
        CONFIG_WORDS,
        share=1,
    ),  # fmt: skip
    Target(
        "known_hosts",
        of_file("known_hosts", known_hosts),
        _known_hosts,
        (b"@revoked ", b"|1|", b"*", b"?", b"!", b"ssh-rsa "),
        (),
        (),
        8,
    ),  # fmt: skip
    Target(
        "private key",
        of_file("id", private_key),
        _keys,
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", b"ENCRYPTED"),
        (),
        BROKEN,
        8,
    ),  # fmt: skip
    Target(
        "networks",
        of_text(networks),
        lambda: [b"10.0.0.0/8,fd00::/8"],
        (b"/", b","),
        (),
        (ValueError,),
        10,
    ),
)
