"""A lease on a device: no two runs use it at once.

Every holder has its own claim, `FOLDER/TOKEN/claim`. To acquire the device, write a claim, then
check the others: if another one is valid, remove the own one. So two never both hold it, however
their steps interleave. A claim's folder is created atomically and never replaced, since a listing
may miss a name that is being replaced. Ages use the device's uptime and boot id, never a wall
clock, which may jump.

The folder is the working folder's `lease`, or, on hosts with several users, one that all of them
may write: there, nothing of other users is followed or removed. A lease that expired unnoticed is
reported: what was measured since then may have been disturbed.
"""

from __future__ import annotations

import datetime
import re
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ..errors import DeviceLost, JobTimeout, StepFailed
from ..locks import whoami
from ..printable import one_line
from ..transports import Transport

#: a claim that has not been renewed for so long is stale
LASTS_S = 120
#: tries when two claim it at the same moment, and both have taken theirs back
TRIES = 4
ANSWER_S = 30.0

#: the device's age, what a claim says, whether its holder may still be there; a claim may
#: be younger than what we read of the clock just before
_COMMON = r"""
umask 022
R=${BENCH_SYSFS:-}
up= boot=-
[ -r "$R/proc/uptime" ] && read -r up rest <"$R/proc/uptime"
[ -r "$R/proc/sys/kernel/random/boot_id" ] && read -r boot <"$R/proc/sys/kernel/random/boot_id"
if [ -z "$up" ]; then up=$(date +%s); boot=$(sysctl -n kern.boottime 2>/dev/null); fi
now=${up%%.*}
folder=$1 shared=$2
[ -z "$shared" ] || folder=${BENCH_LEASES:-$folder}
enter() {
  if [ -n "$shared" ] && [ -L "$folder" ]; then echo "$folder: is a link" >&2; return 1; fi
  cd "$folder" || return 1
  [ -z "$shared" ] || [ -k . ] && return 0
  echo "$folder: all users must be able to write it (mode 1777)" >&2
  return 1
}
look() {
  owner= from= at= lasts=
  [ -f "$1" ] && [ -r "$1" ] && while IFS='=' read -r key value; do
    case $key in
    owner) owner=$value ;; boot) from=$value ;; at) at=$value ;; lasts) lasts=$value ;;
    esac
  done <"$1"
  case $at$lasts in ""|*[!0-9]*) return 1 ;; esac
  case $at in 0?*) return 1 ;; esac  # shells would count in eights
  case $lasts in 0?*) return 1 ;; esac
  [ ${#at} -le 12 ] && [ ${#lasts} -le 6 ] || return 1
  [ -n "$lasts" ] && [ "$from" = "$boot" ] && [ $((at - now)) -le "$lasts" ] &&
    left=$((at + lasts - now)) && [ "$left" -ge 0 ]
}
drop() {
  if [ -n "$shared" ]; then [ ! -L "$1" ] && [ -O "$1" ] || return 1; fi
  rm -f "$1/claim" "$1/.new"
  rmdir "$1" 2>/dev/null
}
others() {
  for claim in *; do
    [ -d "$claim" ] && [ "$claim" != "$1" ] || continue
    case $claim in
    local-*) if [ "$2" = local ]; then drop "$claim"; continue; fi ;;
    *[!0-9a-f]*) continue ;;
    esac
    if look "$claim/claim"; then echo "held=$left $owner"
    elif [ -n "$1" ] && drop "$claim"; then echo "over=$owner"; fi
  done
}
"""

#: Claims or renews; folder, `shared` or nothing, token, seconds, owner, `local` or nothing. Holders
#: whose claim is valid and not about to expire need not check others: those check them. Local
#: holders exclude each other with a lock of their own.
_CLAIM = (
    _COMMON
    + r"""
if [ -z "$shared" ]; then mkdir -p "$folder"
elif [ ! -e "$folder" ]; then mkdir -m 1777 "$folder" 2>/dev/null; fi
enter || exit 1
mine=$3
write() { printf '%s\n' "owner=$2" "boot=$boot" "at=$now" "lasts=$3" >"$1"; }
if look "$mine/claim" && [ "$left" -gt $((lasts / 4)) ]; then
  write "$mine/.new" "$5" "$4" && mv "$mine/.new" "$mine/claim" && exit 0
fi
[ ! -d "$mine" ] || drop "$mine"
[ ! -d ".$mine" ] || drop ".$mine"
mkdir ".$mine" && write ".$mine/claim" "$5" "$4" && mv ".$mine" "$mine" || exit 1
[ -f "$mine/claim" ] || exit 1
found=$(others "$mine" "$6")
printf '%s\n' "$found"
case $found in held=*|*"
held="*) drop "$mine" ;; esac
exit 0
"""
)

#: arguments: folder, `shared` or nothing
_LOOK = (
    _COMMON
    + r"""
[ ! -d "$folder" ] || ! enter 2>/dev/null || others "" ""
exit 0
"""
)

#: arguments: folder, `shared` or nothing, token
_RELEASE = (
    _COMMON
    + r"""
enter 2>/dev/null && { drop "$3"; drop ".$3"; }
exit 0
"""
)


@dataclass(frozen=True)
class Holder:
    """Who holds a device, and for how long unless renewed."""

    owner: str
    left_s: int

    @property
    def until(self) -> str:
        """In this machine's time."""
        end = datetime.datetime.now() + datetime.timedelta(seconds=self.left_s)
        return f"{end:%H:%M:%S}"


class Lease:
    """A held lease, renewed by its own thread."""

    def __init__(
        self,
        transport: Transport,
        folder: str,
        owner: str,
        lasts_s: int,
        *,
        shared: bool = False,
        local: bool = False,
    ) -> None:
        self.owner = " ".join(owner.split())
        self.token = ("local-" if local else "") + secrets.token_hex(8)
        #: whose claims were stale, and are gone
        self.taken_over: tuple[str, ...] = ()
        self._transport, self._lasts_s, self._local = transport, lasts_s, local
        self._place = (folder, "shared" if shared else "")
        self._lost_to: Holder | None = None
        #: until when no other can hold it; until when it was last uncertain
        self._sure_until, self._unsure_until = clock(), 0.0
        self._claiming = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._renew, daemon=True, name=f"lease {transport.name}"
        )

    def check(self) -> None:
        """Raises StepFailed if another run has acquired the device meanwhile."""
        if self._lost_to is not None:
            raise StepFailed(
                f"{self._transport.name}: lost the lease: {self._lost()}",
                "Measure again when the device is free.",
            )

    def confirm(self) -> None:
        """Ensure that this run holds it now. Raises StepFailed if another run does, DeviceLost."""
        if self._lost_to is not None or clock() > self._sure_until - self._lasts_s / 4:
            self._claim_again()
        if self._lost_to is not None:
            raise InUse(self._transport.name, self._lost_to)

    def why_unsure(self, since: float) -> str | None:
        """Why another run may have held it after that moment of `clock`; None if none did.

        Raises DeviceLost if that is unknown.
        """
        if self._lost_to is None and clock() > self._sure_until:
            self._claim_again()
        if self._lost_to is not None:
            return f"the lease was lost: {self._lost()}"
        if self._unsure_until > since:
            return f"the lease was lost: it was not renewed for more than {self._lasts_s} s"
        return None

    def _lost(self) -> str:
        assert self._lost_to
        return (
            f"no contact for {self._lasts_s} s, and {self._lost_to.owner} has acquired the device"
        )

    def _take(self) -> None:
        for last in (False,) * (TRIES - 1) + (True,):
            self._claim_again()
            holder = self._lost_to
            if holder is None:
                self._unsure_until = 0.0
                self._thread.start()
                return
            if last or holder.left_s < self._lasts_s - 5:
                raise InUse(self._transport.name, holder)
            time.sleep(secrets.randbelow(1000) / 1000)  # it may just be trying, as we are

    def _claim_again(self) -> None:
        """Record whether this run holds it, and since when that was uncertain."""
        with self._claiming:
            began = clock()
            self._lost_to = self._claim()
            if began > self._sure_until:
                self._unsure_until = clock()
            if self._lost_to is None:
                self._sure_until = began + self._lasts_s - 1  # ages are whole seconds

    def _claim(self) -> Holder | None:
        """The other holder; None if this claim holds."""
        words = (*self._place, self.token, str(self._lasts_s), self.owner)
        command = ["sh", "-c", _CLAIM, "sh", *words, "local" if self._local else ""]
        done = self._transport.run(command, timeout_s=ANSWER_S)
        if done.exit_code != 0:
            said = (done.stderr or done.stdout).decode("utf-8", "backslashreplace").strip()
            raise StepFailed(
                f"{self._transport.name}: cannot write a lease to {self._place[0]}: {said}",
                "Check free space and write permission on the device.",
            )
        self.taken_over += tuple(
            line[5:] for line in done.text.splitlines() if line.startswith("over=")
        )
        return _holder(done.text)

    def _renew(self) -> None:
        while not self._over.wait(self._lasts_s / 4):
            if self._lost_to is None:
                with suppress(DeviceLost, JobTimeout, StepFailed):  # if none succeeds, it expires
                    self._claim_again()

    def _release(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(ANSWER_S)
        command = ["sh", "-c", _RELEASE, "sh", *self._place, self.token]
        with suppress(DeviceLost, JobTimeout):  # it expires by itself
            self._transport.run(command, timeout_s=ANSWER_S)


@contextmanager
def hold(
    transport: Transport,
    workdir: str,
    owner: str,
    lasts_s: int = LASTS_S,
    *,
    shared: str = "",
    local: bool = False,
) -> Iterator[Lease]:
    """Hold the device in the body; stale claims are removed.

    `shared`: the folder of claims if several users share the device. `local`: other local claims,
    which a lock on the device itself excludes, are not checked. Raises StepFailed, with owner and
    time, if another holds it; and at the end, like `Lease.check`, if another has acquired it.
    """
    folder = shared or f"{workdir}/lease"
    lease = Lease(transport, folder, owner, lasts_s, shared=bool(shared), local=local)
    lease._take()
    try:
        yield lease
    finally:
        lease._release()
    lease.check()


def holder(transport: Transport, workdir: str, shared: str = "") -> Holder | None:
    """The current holder; changes nothing."""
    place = (shared, "shared") if shared else (f"{workdir}/lease", "")
    return _holder(transport.run(["sh", "-c", _LOOK, "sh", *place], timeout_s=ANSWER_S).text)


def clock() -> float:
    """Seconds; includes the time that this machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class InUse(StepFailed):
    """A device that another run holds."""

    def __init__(self, name: str, holder: Holder) -> None:
        super().__init__(
            f"{name} is in use by {holder.owner}; its lease expires at {holder.until} unless "
            "renewed",
            "Wait until that run has ended or its lease has expired.",
        )
        self.holder = holder


def owner(run_id: str = "") -> str:
    """`user@host pid 123, run rio-…`, as shown to others."""
    me = whoami()
    who = f"{me.user}@{me.host} pid {me.pid}"
    return f"{who}, run {run_id}" if run_id else who


def _holder(text: str) -> Holder | None:
    for line in text.splitlines():
        if found := re.fullmatch(r"held=([0-9]{1,7})(?: (.*))?", line):
            return Holder(one_line(found[2] or ""), int(found[1]))
    return None
