"""Process start → first token of `clowder serve`: startup.py CLOWDER [RUNS]"""

import statistics
import sys

from servers import clowder, first_token


def main() -> None:
    binary, runs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 7
    seconds = []
    for _ in range(runs):
        with clowder(binary) as server:
            seconds.append(first_token(server.url) - server.started)
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    print(f"process start to first token, {runs} runs: median {middle:.3f} s (min {low:.3f}, max {high:.3f})")


main()
