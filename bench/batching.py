"""Benefit of batching: embeddings and completions as single requests and as lists, on llama.cpp's server.

    python -m bench.batching --peers VENV [--duration 5]

VENV is the environment that `./just peers` creates. The model has two layers of random weights: the bench measures the
path to a model, not the model. Embeddings: threads embed one short text after another, with and without batching.
Completions: the same prompts as concurrent requests and as one list. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import resource
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import msgspec
from trunkline_embedding import Embedder
from trunkline_embedding.batches import BatchedEmbedder
from trunkline_embedding.remote import RemoteEmbedder

_MODEL_SCRIPT = Path(__file__).parents[1] / "tests" / "peers" / "noise_model.py"
_SLOTS = 16
_TOKENS = 16
_START_TIMEOUT_S = 60.0


@contextmanager
def llama(peers: Path, folder: Path, *arguments: str) -> Iterator[str]:
    """Run llama.cpp's server and yield its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    model = folder / "noise.gguf"
    if not model.exists():
        subprocess.run([peers / "bin" / "python", _MODEL_SCRIPT, model], check=True)
    command = [
        str(peers / "bin" / "llama-server-vulkan"),
        "--model",
        str(model),
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
    ]
    settings = ["--device", "none", "--threads", "1", "--ctx-size", "16384", "--parallel", str(_SLOTS)]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([*command, *settings, *arguments], stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not _is_ready(url):
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError((folder / "log").read_text()[-2000:])
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


# -- embeddings ---


def embed_at_saturation(embedder: Embedder, callers: int, duration_s: float) -> dict[str, Any]:
    """Embed single texts in a closed loop of `callers` threads."""
    numbers = itertools.count()
    end = time.perf_counter() + duration_s

    def embed_until_end() -> list[float]:
        took_ms = []
        while (started := time.perf_counter()) < end:
            embedder.embed([f"how long does refund {next(numbers)} take"])
            took_ms.append((time.perf_counter() - started) * 1000)
        return took_ms

    before_s = _cpu_s()
    with ThreadPoolExecutor(callers) as threads:
        took_ms = sorted(
            itertools.chain(*(each.result() for each in [threads.submit(embed_until_end) for _ in range(callers)]))
        )
    return {
        "texts_per_s": round(len(took_ms) / duration_s),
        "p50_ms": round(took_ms[len(took_ms) // 2], 2),
        "p99_ms": round(took_ms[len(took_ms) * 99 // 100], 2),
        "cpu_us_per_text": round((_cpu_s() - before_s) * 1e6 / len(took_ms)),
    }


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def embeddings(url: str, duration_s: float) -> dict[str, Any]:
    """Compare both ways for several numbers of callers."""
    remote = RemoteEmbedder(f"{url}/v1", "noise")
    report: dict[str, Any] = {}
    for callers in (1, 6, 32):
        ways: dict[str, Embedder] = {"alone": remote, "batched": BatchedEmbedder(remote)}
        report[f"{callers}_callers"] = {way: embed_at_saturation(one, callers, duration_s) for way, one in ways.items()}
    return report


# -- completions ---


async def completions(url: str, rounds: int) -> dict[str, Any]:
    """Compare concurrent requests with one list of the same number of prompts."""
    took_ms: dict[str, list[float]] = {"requests": [], "list": []}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def complete(prompt: object) -> None:
            body = {"prompt": prompt, "n_predict": _TOKENS, "ignore_eos": True, "cache_prompt": False}
            async with session.post(f"{url}/completion", data=msgspec.json.encode(body)) as response:
                answer = await response.read()
                if response.status != httpx.codes.OK:
                    raise RuntimeError(answer[:300])

        for number in range(rounds):
            prompts = [f"Say in one word what message {number}-{one} is about" for one in range(_SLOTS)]
            started = time.perf_counter()
            await asyncio.gather(*(complete(prompt) for prompt in prompts))
            between = time.perf_counter()
            await complete(prompts)
            took_ms["requests"].append((between - started) * 1000)
            took_ms["list"].append((time.perf_counter() - between) * 1000)
    return {"completions": _SLOTS, "tokens_each": _TOKENS} | {
        f"{way}_p50_ms": round(statistics.median(each), 1) for way, each in took_ms.items()
    }


def main() -> None:
    """Parse the options, measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, required=True, help="environment that ./just peers creates")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds per measurement of embeddings")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of completions")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with llama(options.peers, folder, "--embeddings", "--pooling", "mean") as url:
            report: dict[str, Any] = {"embeddings": embeddings(url, options.duration)}
        with llama(options.peers, folder) as url:
            report["completions"] = asyncio.run(completions(url, options.rounds))
    print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())


if __name__ == "__main__":
    main()
