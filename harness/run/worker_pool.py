"""The remote devices of a run, each in a thread of its own, ended together."""

from __future__ import annotations

import threading

from .device_worker import Stopped, run_device
from .job import DeviceJob
from .recorder import Recorder


class WorkerPool:
    """Starts a thread for each device; what ends one and is no result is raised by `wait`."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def start(self, job: DeviceJob) -> None:
        """Check and measure the job's cells on their device, meanwhile."""
        name = f"device-{job.device.name}"
        thread = threading.Thread(target=self._run, args=(job,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def wait(self) -> None:
        """Until every device is done; raises what ended the run on one of them."""
        for thread in self._threads:
            while thread.is_alive():
                thread.join(0.5)  # so that Ctrl-C is heard
        if self._errors:
            raise self._errors[0]

    def stop(self) -> None:
        """End what still runs on devices, restore them, and give back their leases."""
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
