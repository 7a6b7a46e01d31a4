"""CPU and memory of an idle `clowder serve` with kitten loaded: idle.py CLOWDER [SECONDS]"""

import os
import sys
import time
from pathlib import Path

from servers import clowder, first_token

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid: int, field: str) -> float:
    """MiB of a field of smaps_rollup: Rss counts shared pages, Pss divides them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


def children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def main() -> None:
    binary, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 60
    with clowder(binary) as server:
        first_token(server.url)
        (worker,) = children(server.process.pid)
        pids = {"gateway": server.process.pid, "worker": worker}
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        time.sleep(seconds)
        print(f"idle for {seconds:.0f} s with kitten loaded")
        for name, pid in pids.items():
            used = cpu_seconds(pid) - before[name]
            print(f"  {name:8} CPU {used:.2f} s ({100 * used / seconds:.2f} % of a core), RSS {memory(pid, 'Rss'):.0f} MiB, PSS {memory(pid, 'Pss'):.0f} MiB")


if __name__ == "__main__":
    main()
