"""adb servers and their lists, as adb itself finds and reads them."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.transports import adb_client, adb_list
from harness.transports.adb_client import Server


@pytest.mark.parametrize(
    ("text", "serial", "state", "model"),
    [
        (
            "adb-2233fd19-9mU6UL (2)._adb-tls-connect._tcp device product:p model:Pixel_8 device:s",
            "adb-2233fd19-9mU6UL (2)._adb-tls-connect._tcp",
            "device",
            "Pixel 8",
        ),
        ("(no serial number)     device usb:1-2 model:X", "(no serial number)", "device", "X"),
        (
            "????????????           no permissions (missing udev rules?); see [http://x] usb:1-1",
            "????????????",
            "no permissions",
            "",
        ),
        (
            "R5CT10                 unauthorized usb:1-2 transport_id:3",
            "R5CT10",
            "unauthorized",
            "",
        ),
        ("emulator-5554          offline transport_id:1", "emulator-5554", "offline", ""),
        ("10.0.0.5:5555          device product:a model:b", "10.0.0.5:5555", "device", "b"),
        ("0123                   sideload", "0123", "sideload", ""),
        ("my device 7            device usb:1-2 model:X", "my device 7", "device", "X"),
        (
            "adb-4c753791-lL2him (3)._adb-tls-connect._tcp\toffline transport_id:5",
            "adb-4c753791-lL2him (3)._adb-tls-connect._tcp",
            "offline",
            "",
        ),
        ("0123                   recovery 3-1 model:X", "0123", "recovery", "X"),
        ("what is this", "what is this", "unknown", ""),
    ],
)
def test_a_line_of_adb_devices(text: str, serial: str, state: str, model: str) -> None:
    found = adb_list.parse(text)
    assert (found.serial, found.state, found.model) == (serial, state, model)


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        ({}, Server("127.0.0.1", 5037)),
        ({"ANDROID_ADB_SERVER_PORT": "5099"}, Server("127.0.0.1", 5099)),
        ({"ANDROID_ADB_SERVER_PORT": " +0x13eb"}, Server("127.0.0.1", 5099)),
        ({"ANDROID_ADB_SERVER_PORT": ""}, Server("127.0.0.1", 5037)),
        ({"ANDROID_ADB_SERVER_ADDRESS": "10.0.0.2"}, Server("10.0.0.2", 5037)),
        ({"ANDROID_ADB_SERVER_ADDRESS": "[::1]"}, Server("::1", 5037)),
        ({"ADB_SERVER_SOCKET": "tcp:172.30.112.1:5037"}, Server("172.30.112.1", 5037)),
        ({"ADB_SERVER_SOCKET": "tcp:10.0.0.2"}, Server("10.0.0.2", 5555)),
        ({"ADB_SERVER_SOCKET": "tcp:[::1]:5099"}, Server("::1", 5099)),
        ({"ADB_SERVER_SOCKET": "localabstract:adb"}, Server(path="\0adb")),
        ({"ADB_SERVER_SOCKET": "localfilesystem:/run/a:b"}, Server(path="/run/a:b")),
        ({"ADB_SERVER_SOCKET": "local:/run/adb"}, Server(path="/run/adb")),
        (
            {
                "ADB_SERVER_SOCKET": "tcp:5099",
                "ANDROID_ADB_SERVER_ADDRESS": "10.0.0.2",
                "ANDROID_ADB_SERVER_PORT": "abc",
            },
            Server("127.0.0.1", 5099),
        ),
    ],
)
def test_the_server_is_the_one_that_adb_asks(env: dict[str, str], wanted: Server) -> None:
    assert adb_client.default(env) == wanted


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"ANDROID_ADB_SERVER_PORT": "abc"}, "ANDROID_ADB_SERVER_PORT=abc is not a port"),
        ({"ANDROID_ADB_SERVER_PORT": "70000"}, "ANDROID_ADB_SERVER_PORT=70000 is not a port"),
        ({"ANDROID_ADB_SERVER_PORT": "0"}, "ANDROID_ADB_SERVER_PORT=0 is not a port"),
        ({"ANDROID_ADB_SERVER_PORT": "5037 "}, "ANDROID_ADB_SERVER_PORT=5037  is not a port"),
        ({"ANDROID_ADB_SERVER_ADDRESS": ""}, "ANDROID_ADB_SERVER_ADDRESS=: missing host"),
        (
            {"ADB_SERVER_SOCKET": "tcp:x:y"},
            "ADB_SERVER_SOCKET=tcp:x:y: port 'y' is not a number from 1 to 65535",
        ),
        (
            {"ADB_SERVER_SOCKET": "127.0.0.1:5037"},
            "ADB_SERVER_SOCKET=127.0.0.1:5037: unsupported socket type",
        ),
        ({"ADB_SERVER_SOCKET": ""}, "ADB_SERVER_SOCKET=: unsupported socket type"),
        ({"ADB_SERVER_SOCKET": "tcp:"}, "ADB_SERVER_SOCKET=tcp:: missing host"),
    ],
)
def test_variables_that_make_no_address_are_named(env: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        adb_client.default(env)
    assert caught.value.message == message


SERIAL = "adb-2233fd19-9mU6UL (2)._adb-tls-connect._tcp"


@pytest.mark.parametrize(
    ("text", "server", "serial"),
    [
        ("R5CT10", Server("127.0.0.1", 5099), "R5CT10"),
        (SERIAL, Server("127.0.0.1", 5099), SERIAL),
        ("usb:1-3", Server("127.0.0.1", 5099), "usb:1-3"),
        (f"10.0.0.2/{SERIAL}", Server("10.0.0.2", 5099), SERIAL),
        ("10.0.0.2:77/10.0.0.9:5555", Server("10.0.0.2", 77), "10.0.0.9:5555"),
        ("[fd00::2]:77/R5CT10", Server("fd00::2", 77), "R5CT10"),
    ],
)
def test_a_device_of_a_server(
    text: str, server: Server, serial: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ADB_SERVER_SOCKET", raising=False)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "5099")
    assert adb_client.of_address(text) == (server, serial)


def test_a_device_without_a_serial_is_found_by_its_usb_port() -> None:
    line = "(no serial number)     device usb:1-3 product:p model:Tab device:t transport_id:3"
    assert adb_list.parse(line).address == "usb:1-3"
    assert adb_list.parse("(no serial number)  device transport_id:3").address == ""
    assert adb_list.parse(f"{SERIAL} device usb:1-3").address == SERIAL
