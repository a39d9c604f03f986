"""The remote devices of a run, one thread each, stopped together."""

from __future__ import annotations

import threading

from .device_worker import Stopped, run_device
from .job import DeviceJob
from .recorder import Recorder


class WorkerPool:
    """Starts a thread for each device; `wait` raises what ended one."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def start(self, job: DeviceJob) -> None:
        """Check and measure the job's cells on their device in the background."""
        name = f"device-{job.device.name}"
        thread = threading.Thread(target=self._run, args=(job,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def wait(self) -> None:
        """Wait until every device is done; raises what ended the run on one of them."""
        for thread in self._threads:
            while thread.is_alive():
                thread.join(0.5)  # so that Ctrl-C is heard
        if self._errors:
            raise self._errors[0]

    def stop(self) -> None:
        """Stop all jobs on devices, restore the devices, and release their leases."""
        self._recorder.stop()
        for thread in self._threads:
            thread.join(30.0)

    def _run(self, job: DeviceJob) -> None:
        try:
            run_device(job, self._recorder)
        except Stopped:
            pass
        except BaseException as error:
            self._errors.append(error)
