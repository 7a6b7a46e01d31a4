"""`clowder serve` beside `llama-server`, in turns: throughput.py CLOWDER LLAMA_SERVER [ROUNDS]"""

import json
import statistics
import subprocess
import sys

from servers import Server, clowder, first_token, llama_server

SLOTS, CONTEXT, THREADS = 8, 2048, 2


def load(binary: str, server: Server, concurrency: int) -> dict:
    command = [binary, "--json", "--server", server.url, "bench", "--model", "kitten", "--concurrency", str(concurrency)]
    command += ["--requests", str(concurrency * 12), "--prompt-tokens", "128", "--max-tokens", "64"]
    report = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert report["requests"]["failed"] == 0, report
    return report


def main() -> None:
    binary, peer, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 5
    ours_flags = ["--slots", str(SLOTS), "--context", str(CONTEXT)]
    peer_flags = ["-np", str(SLOTS), "-c", str(SLOTS * CONTEXT), "-t", str(THREADS), "--jinja"]
    print("kitten, 128 prompt tokens, up to 64 generated; medians of the rounds, ratio clowder / llama-server round by round")
    print("| clients | tok/s clowder | tok/s llama-server | ratio | TTFT p50 ms | ratio |")
    print("|---|---|---|---|---|---|")
    with clowder(binary, *ours_flags) as ours, llama_server(peer, *peer_flags) as theirs:
        for server in (ours, theirs):
            first_token(server.url)
        for concurrency in (1, 4, 8, 16):
            rows = [(load(binary, ours, concurrency), load(binary, theirs, concurrency)) for _ in range(rounds)]
            middle = lambda pick: statistics.median(pick(a, b) for a, b in rows)
            speed = [middle(lambda a, b: a["tokens"]["out_per_second"]), middle(lambda a, b: b["tokens"]["out_per_second"])]
            speed_ratio = middle(lambda a, b: a["tokens"]["out_per_second"] / b["tokens"]["out_per_second"])
            ttft = [middle(lambda a, b: a["ttft_ms"]["p50"]), middle(lambda a, b: b["ttft_ms"]["p50"])]
            ttft_ratio = middle(lambda a, b: a["ttft_ms"]["p50"] / b["ttft_ms"]["p50"])
            print(f"| {concurrency} | {speed[0]:.0f} | {speed[1]:.0f} | {speed_ratio:.2f} | {ttft[0]:.0f} / {ttft[1]:.0f} | {ttft_ratio:.2f} |")


main()
