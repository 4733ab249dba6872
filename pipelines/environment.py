"""What this machine is and what is installed on it."""

import os
import platform
import subprocess
from importlib.metadata import version
from typing import Any, Literal

import psutil
import torch

from pipelines.errors import ConfigError

RECORDED = ("aasaan", "torch", "transformers", "peft", "accelerate", "datasets", "onnxruntime", "mlflow")


def versions() -> dict[str, str]:
    """Exact versions of what decides a run's numbers."""
    return {"python": platform.python_version(), **{name: version(name) for name in RECORDED}}


def own_version() -> str:
    return version("aasaan")


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def computes_bf16() -> bool:
    """Whether the GPU, or else the CPU, multiplies bf16 in hardware (elsewhere it is emulated)."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def use_bf16(precision: Literal["auto", "fp32", "bf16"]) -> bool:
    """The autocast choice for a `precision`. Raises `ConfigError` for bf16 where it is emulated."""
    if precision == "bf16" and not computes_bf16():
        raise ConfigError(
            "training.precision: bf16, but neither GPU nor CPU here computes bf16 in hardware. "
            "Use auto or fp32."
        )
    return precision != "fp32" and computes_bf16()


def hardware() -> dict[str, Any]:
    """Processor, cores, memory (GiB), accelerator and operating system."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "bf16": computes_bf16(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def git_commit() -> str:
    """The commit of the working directory, with ``-dirty`` for uncommitted changes; or ``none``."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty"],
            capture_output=True, text=True, check=True, timeout=10,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "none"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or "unknown"
