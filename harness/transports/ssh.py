"""Devices over SSH: Jetsons and hosts. Knows paramiko; logging in is in ssh_login."""

from __future__ import annotations

import contextlib
import select
import threading
import time

import paramiko

from ..errors import DeviceLost, StepFailed
from . import Addressed, ssh_address
from .channel import STALL_S, Channel, CommandOutput, Exited
from .failures import described, lost
from .remote import RemoteTransport
from .ssh_address import Address
from .ssh_limits import ended_after, limit_output
from .ssh_login import login

#: sshd's MaxSessions is 10; two are kept for ending commands
SESSIONS = 8
WINDOW_BYTES = 1 << 24
_READ_BYTES = 1 << 18


def connect(target: Addressed) -> RemoteTransport:
    """Log in; see `transports.connect`."""
    return RemoteTransport(
        SshConnection(target.name, ssh_address.read(target.name, target.address))
    )


class SshConnection:
    """See `channel.Connection`: one TCP connection, one SSH session a command."""

    ends_input = True
    splits_output = True
    #: sshd gives it to the shell as one argument, and Linux takes none that is longer
    longest_command = (1 << 17) - 1

    def __init__(self, name: str, address: Address) -> None:
        self.name = name
        self._address = address
        self._room = threading.BoundedSemaphore(SESSIONS)
        self._places = SESSIONS
        self._lock = threading.Lock()
        self._transports = login(name, address)

    def open(self, command: str, *, urgent: bool = False) -> Channel:
        room = None if urgent else self._room
        if room is not None:
            room.acquire()
        try:
            while True:
                try:
                    return SshChannel(self.name, self._session(command), room)
                except paramiko.ChannelException as error:
                    if urgent or not self._less_room():
                        raise StepFailed(
                            f"{self.name}: the device accepts no more sessions: {error.text}",
                            "Increase MaxSessions in the device's sshd_config.",
                        ) from error
        except BaseException:
            if room is not None:
                room.release()
            raise

    def _less_room(self) -> bool:
        """For a device with a smaller MaxSessions: one place is taken for good, when there is one.

        False when only the caller's own place is left.
        """
        with self._lock:
            if self._places == 1:
                return False
            self._places -= 1
        self._room.acquire()
        return True

    def close(self) -> None:
        with self._lock:
            for transport in reversed(self._transports):
                transport.close()

    def _session(self, command: str) -> paramiko.Channel:
        """Raises DeviceLost, paramiko.ChannelException."""
        transport = self._transport()
        try:
            return _start(transport, command)
        except paramiko.ChannelException:
            raise
        except (OSError, EOFError):
            transport.close()  # its own thread may not have seen yet that the other side is gone
        except Exception as error:  # of paramiko, over what the device says
            if transport.is_active():
                raise lost(self.name, "while starting a command", described(error)) from error
        transport = self._transport()
        try:  # it had been lost since it was last used, and nothing has been started
            return _start(transport, command)
        except paramiko.ChannelException:
            raise
        except Exception as error:
            raise lost(self.name, "while starting a command", described(error)) from error

    def _transport(self) -> paramiko.Transport:
        """The living connection, made again if need be."""
        with self._lock:
            if not self._transports or not self._transports[-1].is_active():
                for transport in reversed(self._transports):
                    transport.close()
                self._transports = []
                self._transports = login(self.name, self._address)
            return self._transports[-1]


def _start(transport: paramiko.Transport, command: str) -> paramiko.Channel:
    try:
        session = transport.open_session(window_size=WINDOW_BYTES, timeout=STALL_S)
    except paramiko.ChannelException:
        raise
    except paramiko.SSHException as error:
        if transport.is_active() and "Timeout" not in str(error):
            # several were refused at once, and paramiko has told another thread why
            raise paramiko.ChannelException(2, "Connect failed") from error
        raise
    session.settimeout(STALL_S)
    limit_output(session, WINDOW_BYTES)
    with ended_after(STALL_S, lambda: _close(session)):
        session.exec_command(command)
    return session


def _close(session: paramiko.Channel) -> None:
    """It says goodbye to the other side, and the connection may just have been lost."""
    with contextlib.suppress(OSError, EOFError):
        session.close()


class SshChannel:
    """See `channel.Channel`."""

    def __init__(
        self, name: str, session: paramiko.Channel, room: threading.BoundedSemaphore | None
    ) -> None:
        self._name, self._session, self._room = name, session, room
        self._poll = select.poll()
        self._poll.register(session.fileno(), select.POLLIN)

    def send(self, data: bytes) -> None:
        try:
            self._session.sendall(data)
        except TimeoutError as error:
            raise lost(self._name, "during a push", f"stalled for {STALL_S:g} s") from error
        except (OSError, EOFError) as error:
            self._check_alive()
            raise BrokenPipeError from error

    def end(self) -> None:
        try:
            self._session.shutdown_write()
        except (OSError, EOFError) as error:
            self._check_alive()
            raise BrokenPipeError from error

    def receive(self, timeout_s: float) -> CommandOutput | Exited | None:
        until = time.monotonic() + timeout_s
        while True:
            session = self._session
            over = session.eof_received or session.closed
            if session.recv_ready() or session.recv_stderr_ready():
                return self._read()
            left_s = until - time.monotonic()
            if over and session.status_event.wait(max(0.0, left_s)):
                return self._exited()
            if left_s <= 0:
                return None
            if not over:
                self._poll.poll(left_s * 1e3)

    def close(self) -> None:
        try:
            _close(self._session)
        finally:
            room, self._room = self._room, None
            if room is not None:
                room.release()

    def _read(self) -> CommandOutput:
        """Reading answers with how much more may come, which fails when the other side is gone."""
        try:
            if self._session.recv_ready():
                return CommandOutput(self._session.recv(_READ_BYTES))
            return CommandOutput(self._session.recv_stderr(_READ_BYTES), is_error=True)
        except (OSError, EOFError) as error:
            raise lost(self._name, "during a command", "connection closed by the device") from error

    def _exited(self) -> Exited:
        """Raises DeviceLost when the end came without a status: the connection broke."""
        if self._session.exit_status < 0:
            raise lost(self._name, "during a command", "no exit status")
        return Exited(self._session.exit_status)

    def _check_alive(self) -> None:
        transport = self._session.get_transport()
        if not transport.is_active():
            raise lost(self._name, "during a push", "connection closed by the device")
        if self._session.eof_received or self._session.closed:
            return
        raise DeviceLost(f"{self._name}: connection lost during a push")
