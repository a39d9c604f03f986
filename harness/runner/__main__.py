"""Entry point: read the job, run it, write `result.json` last. Exit code 2: unreadable job."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

STARTED_NS = time.perf_counter_ns()


def main() -> int:
    """Run the job whose folder is the only argument."""
    from ..serial import Malformed, dumps, loads
    from . import job as jobs
    from . import threads

    folder = Path(sys.argv[1])
    try:
        job = loads(jobs.Job, (folder / "job.json").read_bytes(), "job.json")
    except (OSError, Malformed) as error:
        print(f"bench runner: {error}", file=sys.stderr)
        return 2
    if job.version != jobs.VERSION:
        print(
            f"bench runner: job.json: version {job.version}, expected {jobs.VERSION}",
            file=sys.stderr,
        )
        return 2
    threads.keep_to(job.cpus)  # before numpy starts its threads
    threads.limit_memory(job.memory_bytes)
    from .modes import MODES

    answer = MODES[job.mode](job, folder, Events(folder / "events.jsonl"), STARTED_NS)
    part = folder / "result.json.part"
    part.write_text(dumps(answer), encoding="utf-8")
    part.replace(folder / "result.json")
    return 0


class Events:
    """Appends one JSON line per event; never called inside a timed loop."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, event: str, **values: object) -> None:
        """Write `{"event": …, "at": seconds since the epoch, …}`."""
        line = json.dumps(dict(event=event, at=round(time.time(), 3), **values))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
