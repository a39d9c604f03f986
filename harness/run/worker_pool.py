"""The remote devices of a run, each in a thread of its own, ended together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..containers import ContainerEngine
from ..errors import BenchError, DeviceLost
from ..records import DeviceSpec
from .device_worker import Lane, Rules, Stopped
from .prepare import Preparation
from .recorder import Ledger, Work

if TYPE_CHECKING:
    from ..targets.remote import RemoteSite


def never_lost() -> None:
    """This machine is always there."""


class Farm:
    """Starts a lane a device; an error that is no BenchError is a bug and is raised by `wait`."""

    def __init__(
        self, engine: ContainerEngine, cache: Path, logs: Path, run_id: str, ledger: Ledger
    ) -> None:
        self._engine, self._cache, self._logs = engine, cache, logs
        self._run_id, self._ledger = run_id, ledger
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sites: list[RemoteSite] = []
        self._bugs: list[BaseException] = []

    def start(
        self, spec: DeviceSpec, works: Sequence[Work], rules: Rules, preparation: Preparation
    ) -> None:
        """Check and measure `works` on the device, meanwhile."""

        def lane() -> None:
            try:
                self._run(spec, works, rules, preparation)
            except Stopped:
                pass
            except BaseException as bug:
                self._bugs.append(bug)

        thread = threading.Thread(target=lane, name=f"lane-{spec.name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def wait(self) -> None:
        """Until every lane has ended; raises the first bug of one."""
        for thread in self._threads:
            while thread.is_alive():
                thread.join(0.5)  # so that Ctrl-C is heard
        if self._bugs:
            raise self._bugs[0]

    def stop(self) -> None:
        """End what still runs on devices, restore them, and give back their leases."""
        self._stop.set()
        for site in self._sites:
            try:
                site.kill_jobs()
            except BenchError as error:
                self._ledger.tell("lost", device=site.spec.name, cell="", reason=error.message)
        for thread in self._threads:
            thread.join(30.0)

    def _run(
        self, spec: DeviceSpec, works: Sequence[Work], rules: Rules, preparation: Preparation
    ) -> None:
        from ..targets.remote import RemoteSite

        site = RemoteSite(
            spec,
            self._engine,
            self._cache,
            self._logs,
            self._run_id,
            lambda line: self._ledger.tell("log", line=f"{spec.name}: {line}"),
        )
        try:
            self._enter(site)
        except BenchError as error:
            for work in works:
                work.got.at = "deploy"
                self._ledger.fail(work, error)
            return
        self._sites.append(site)
        try:
            with site:
                lane = Lane(
                    site, works, rules, preparation, self._ledger, site.wait_until_back, self._stop
                )
                lane.check()
                lane.measure()
        finally:
            self._sites.remove(site)

    def _enter(self, site: RemoteSite) -> None:
        """Connect, and once more when that was lost."""
        try:
            site.connect()
        except DeviceLost as error:
            self._ledger.tell("lost", device=site.spec.name, cell="", reason=error.message)
            site.connect()
