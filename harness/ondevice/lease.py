"""A lease on a device: two of us never measure on it at once.

Every holder has a claim of its own, `WORKDIR/lease/TOKEN/claim`. Who wants the device writes its
claim and then looks at the others: if another one is alive, it takes its own back. So however the
two are interleaved, never do both of them hold. A claim's folder appears whole and stays for its
life, since a listing may miss a name that is being replaced. Ages are counted by the device's
uptime and its boot id, never by a wall clock, which may jump.
"""

from __future__ import annotations

import datetime
import getpass
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import DeviceLost, JobTimeout, StepFailed
from ..transports import Transport

#: a claim that has not been renewed for so long is stale
LASTS_S = 120
#: tries when two claim it at the same moment, and both have taken theirs back
TRIES = 4
ANSWER_S = 30.0

#: the device's age, what a claim says, whether its holder may still be there; a claim may
#: be younger than what we read of the clock just before
_COMMON = r"""
R=${BENCH_SYSFS:-}
up= boot=-
[ -r "$R/proc/uptime" ] && read -r up rest <"$R/proc/uptime"
[ -r "$R/proc/sys/kernel/random/boot_id" ] && read -r boot <"$R/proc/sys/kernel/random/boot_id"
if [ -z "$up" ]; then up=$(date +%s); boot=$(sysctl -n kern.boottime 2>/dev/null); fi
now=${up%%.*}
look() {
  owner= from= at= lasts=
  [ -r "$1" ] && while IFS='=' read -r key value; do
    case $key in
    owner) owner=$value ;; boot) from=$value ;; at) at=$value ;; lasts) lasts=$value ;;
    esac
  done <"$1"
  case $at$lasts in ""|*[!0-9]*) return 1 ;; esac
  [ -n "$lasts" ] && [ "$from" = "$boot" ] && [ $((at - now)) -le "$lasts" ] &&
    left=$((at + lasts - now)) && [ "$left" -ge 0 ]
}
others() {
  for claim in "$1"/lease/*; do
    [ -d "$claim" ] && [ "${claim##*/}" != "$2" ] || continue
    if look "$claim/claim"; then echo "held=$left $owner"
    elif [ -n "$2" ]; then echo "over=$owner"; rm -rf "$claim"; fi
  done
}
"""

#: workdir, token, seconds, owner: claims, or claims again. Who holds it surely (the claim is alive,
#: and not about to run out) need not look at others: those look at it.
_CLAIM = (
    _COMMON
    + r"""
mine=$1/lease/$2
write() { printf '%s\n' "owner=$2" "boot=$boot" "at=$now" "lasts=$3" >"$1"; }
if look "$mine/claim" && [ "$left" -gt $((lasts / 4)) ]; then
  write "$mine/.new" "$4" "$3" && mv "$mine/.new" "$mine/claim" && exit 0
fi
rm -rf "$mine"
new=$1/lease/.$2
mkdir -p "$new" && write "$new/claim" "$4" "$3" && mv "$new" "$mine" || exit 1
found=$(others "$1" "$2")
printf '%s\n' "$found"
case $found in held=*|*"
held="*) rm -rf "$mine" ;; esac
exit 0
"""
)

#: workdir
_LOOK = _COMMON + 'others "$1" ""; exit 0'

#: workdir, token
_RELEASE = 'rm -rf "$1/lease/$2" "$1/lease/.$2"; exit 0'


@dataclass(frozen=True)
class Holder:
    """Who holds a device, and for how long still if it is not heard of."""

    owner: str
    left_s: int

    @property
    def until(self) -> str:
        """In this machine's time."""
        end = datetime.datetime.now() + datetime.timedelta(seconds=self.left_s)
        return f"{end:%H:%M:%S}"


class Lease:
    """A device that is ours; renewed by a thread of its own."""

    def __init__(self, transport: Transport, workdir: str, owner: str, lasts_s: int) -> None:
        self.owner, self.token = " ".join(owner.split()), secrets.token_hex(8)
        #: whose claims were stale, and are gone
        self.taken_over: tuple[str, ...] = ()
        self._transport, self._workdir, self._lasts_s = transport, workdir, lasts_s
        self._lost_to: Holder | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._renew, daemon=True, name=f"lease {transport.name}"
        )

    def check(self) -> None:
        """Raises StepFailed when somebody else has taken the device over meanwhile."""
        if self._lost_to is not None:
            raise StepFailed(
                f"{self._transport.name}: the connection was away for {self._lasts_s} s, and "
                f"{self._lost_to.owner} has taken the device over",
                "what was measured since then may be disturbed; start again when it is free",
            )

    def _take(self) -> None:
        for last in (False,) * (TRIES - 1) + (True,):
            holder = self._claim()
            if holder is None:
                self._thread.start()
                return
            if last or holder.left_s < self._lasts_s - 5:
                raise held(self._transport.name, holder)
            time.sleep(secrets.randbelow(1000) / 1000)  # it may just be trying, as we are

    def _claim(self) -> Holder | None:
        """Who else holds it; None when it is ours."""
        command = ["sh", "-c", _CLAIM, "sh", self._workdir, self.token, str(self._lasts_s)]
        done = self._transport.run([*command, self.owner], timeout_s=ANSWER_S)
        if done.exit_code != 0:
            said = (done.stderr or done.stdout).decode("utf-8", "backslashreplace").strip()
            raise StepFailed(
                f"{self._transport.name}: no lease can be written to {self._workdir}/lease: {said}",
                "is there room, and may this user write there?",
            )
        self.taken_over += tuple(
            line[5:] for line in done.text.splitlines() if line.startswith("over=")
        )
        return _holder(done.text)

    def _renew(self) -> None:
        while not self._over.wait(self._lasts_s / 4):
            try:
                self._lost_to = self._claim()
            except (DeviceLost, StepFailed):
                continue  # the next try may arrive; if none does, the lease runs out
            if self._lost_to is not None:
                return

    def _release(self) -> None:
        self._over.set()
        self._thread.join(ANSWER_S)
        command = ["sh", "-c", _RELEASE, "sh", self._workdir, self.token]
        try:
            self._transport.run(command, timeout_s=ANSWER_S)
        except (DeviceLost, JobTimeout):
            return  # it runs out by itself


@contextmanager
def hold(transport: Transport, workdir: str, owner: str, lasts_s: int = LASTS_S) -> Iterator[Lease]:
    """The device is ours inside; a stale claim of somebody else's is removed.

    Raises StepFailed, with owner and time, when another holds it; and at the end, like
    `Lease.check`, when another has it since.
    """
    lease = Lease(transport, workdir, owner, lasts_s)
    lease._take()
    try:
        yield lease
    finally:
        lease._release()
    lease.check()


def holder(transport: Transport, workdir: str) -> Holder | None:
    """Who holds it at the moment; nothing is changed."""
    return _holder(transport.run(["sh", "-c", _LOOK, "sh", workdir], timeout_s=ANSWER_S).text)


def held(name: str, holder: Holder) -> StepFailed:
    """The error for a device that is somebody else's."""
    return StepFailed(
        f"{name} is in use by {holder.owner}; its lease runs until {holder.until} if it is not "
        "renewed",
        "wait until that run is over; if its process is gone, the lease runs out by itself",
    )


def owner(run_id: str = "") -> str:
    """`user@host pid 123, run rio-…`, as others will read it."""
    who = f"{getpass.getuser()}@{socket.gethostname()} pid {os.getpid()}"
    return f"{who}, run {run_id}" if run_id else who


def _holder(text: str) -> Holder | None:
    for line in text.splitlines():
        left, _, owner = line.removeprefix("held=").partition(" ")
        if line.startswith("held=") and left.isdigit():
            return Holder(owner, int(left))
    return None
