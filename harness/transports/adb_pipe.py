"""The cable to an ADB device: TCP, or USB by adb-shell. Whole messages in, whole messages out."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from typing import Protocol

from ..errors import DeviceLost, StepFailed
from . import endpoint
from .failures import described

CONNECT_S = 10.0
#: how long a device may take to read one message, seconds
WRITE_S = 60.0


class Pipe(Protocol):
    """Bytes in both directions; one thread reads, any one at a time writes. Raises OSError."""

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        ...

    def write(self, head: bytes, data: bytes) -> None: ...

    def close(self) -> None: ...


class TcpPipe:
    """A socket that detects a dead peer within half a minute."""

    def __init__(self, name: str, host: str, port: int) -> None:
        try:
            self._socket = endpoint.connect(host, port, CONNECT_S)
        except OSError as error:
            raise DeviceLost(
                f"{name}: {endpoint.joined(host, port)}: cannot connect: {error}",
                "Check that the phone is on, with `adb tcpip 5555` or wireless debugging.",
            ) from error
        self._socket.settimeout(None)
        self._writable = select.poll()
        self._writable.register(self._socket, select.POLLOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)

    def read(self, size: int) -> bytes:
        data = bytearray(size)
        view, at = memoryview(data), 0
        while at < size:
            got = self._socket.recv_into(view[at:])
            if not got:
                raise ConnectionResetError("connection closed by the device")
            at += got
        return bytes(data)

    def write(self, head: bytes, data: bytes) -> None:
        until = time.monotonic() + WRITE_S
        if len(data) < 4096:
            self._send(head + data, until)
        else:
            self._send(head, until)
            self._send(data, until)

    def _send(self, data: bytes, until: float) -> None:
        """Write everything; a device that stops reading would otherwise block forever."""
        left = memoryview(data)
        while left:
            if not self._writable.poll(max(0.0, until - time.monotonic()) * 1e3):
                raise TimeoutError(f"did not accept a message within {WRITE_S:g} s")
            with contextlib.suppress(BlockingIOError):
                left = left[self._socket.send(left, socket.MSG_DONTWAIT) :]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class UsbPipe:
    """adb-shell's USB transport; needs the extra `adb-shell[usb]` and rights on the device node.

    Never run here: there is no USB device where this is developed.
    """

    def __init__(self, name: str, serial: str) -> None:
        try:
            from adb_shell.exceptions import UsbDeviceNotFoundError
            from adb_shell.transport.usb_transport import UsbTransport
        except (ImportError, OSError) as error:
            raise StepFailed(
                f"{name}: USB unavailable: {error}",
                "Install libusb and `pip install 'adb-shell[usb]'`.",
            ) from error

        try:
            self._usb = UsbTransport.find_adb(serial, None, CONNECT_S)
            self._usb.connect(CONNECT_S)
        except UsbDeviceNotFoundError as error:
            raise DeviceLost(
                f"{name}: no USB device {serial}",
                "Connect the device, and compare its serial number with `adb devices`.",
            ) from error
        except Exception as error:  # of libusb, and of adb-shell over what libusb says
            raise StepFailed(
                f"{name}: USB device {serial}: {described(error)}",
                "Stop the adb server with `adb kill-server`, or use the address server:SERIAL.",
            ) from error
        self._closed = False

    def read(self, size: int) -> bytes:
        from adb_shell.exceptions import UsbReadFailedError

        data = bytearray()
        while len(data) < size:
            try:
                data += self._usb.bulk_read(size - len(data), 1.0)
            except UsbReadFailedError as error:
                if self._closed or "Timeout" not in type(error.usb_error).__name__:
                    raise ConnectionResetError(str(error)) from error
        return bytes(data)

    def write(self, head: bytes, data: bytes) -> None:
        from adb_shell.exceptions import UsbWriteFailedError

        for part in (head, data):
            try:
                if part:
                    self._usb.bulk_write(part, 30.0)
            except UsbWriteFailedError as error:
                raise ConnectionResetError(str(error)) from error

    def close(self) -> None:
        self._closed = True
        time.sleep(0)
        self._usb.close()
