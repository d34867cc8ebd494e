"""Server processes of a run, terminated with it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import psutil
from trunkline_supervisor.adapters.tcp import free_port

from bench.llm_gateway.targets import KEY, REGION


class Processes:
    """Starts processes with their logs and files in one folder."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        """Terminate the processes when `stack` is closed."""
        self._stack = stack
        self._folder = folder

    def start(self, command: list[str], settings: dict[str, str] | None = None) -> psutil.Process:
        """Start a command with additional environment variables."""
        log = self._stack.enter_context((self._folder / "log").open("ab"))
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **(settings or {})})
        self._stack.callback(process.wait, 20)
        self._stack.callback(process.terminate)
        return psutil.Process(process.pid)

    def python(self, module: str, *arguments: str, settings: dict[str, str] | None = None) -> psutil.Process:
        """Start a Python module."""
        return self.start([sys.executable, "-m", module, *arguments], settings)

    def gateway(self, nats_url: str, config: Path) -> psutil.Process:
        """Start the gateway."""
        settings = {"TRUNKLINE_NATS_URL": nats_url, "TRUNKLINE_REGION": REGION, "TRUNKLINE_LLM_CONFIG": str(config)}
        return self.python("trunkline_llm_gateway", settings=settings)

    def litellm(self, venv: Path, model_url: str, model: str) -> tuple[str, psutil.Process]:
        """Start the LiteLLM proxy of a separate virtual environment; return its URL and its process."""
        port = free_port()
        config = self._folder / "litellm.yaml"
        config.write_text(
            f"model_list:\n  - model_name: {model}\n    litellm_params:\n      model: openai/{model}\n"
            f"      api_base: {model_url}\n      api_key: sk-none\nlitellm_settings:\n  telemetry: false\n"
        )
        command = [str(venv / "bin" / "litellm"), "--config", str(config), "--port", str(port), "--host", "127.0.0.1"]
        local = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "127.0.0.1", "LITELLM_LOG": "ERROR"}
        return f"http://127.0.0.1:{port}/v1", self.start(command, {**local, "LITELLM_MASTER_KEY": KEY})


def cpu_s(process: psutil.Process | None) -> float:
    """Return the user and system time of a process and its children in seconds."""
    if process is None:
        return 0.0
    return sum(sum(child.cpu_times()[:2]) for child in [process, *process.children(recursive=True)])
