"""Width of the models that Tinker's formula and published sweeps are about.

Recorded from tinker-cookbook 0.6.1 (hyperparam_utils.py), so that neither the tests nor the fit
need the hub. `tests/test_rates.py` holds them against the package.
"""

from __future__ import annotations

WIDTHS = {
    "meta-llama/Llama-3.2-1B": 2048,
    "meta-llama/Llama-3.2-3B": 3072,
    "meta-llama/Llama-3.1-8B": 4096,
    "meta-llama/Llama-3.1-8B-Instruct": 4096,
    "meta-llama/Llama-3.1-70B": 8192,
    "meta-llama/Llama-3.3-70B-Instruct": 8192,
    "deepseek-ai/DeepSeek-V3.1": 7168,
    "deepseek-ai/DeepSeek-V3.1-Base": 7168,
    "moonshotai/Kimi-K2-Thinking": 7168,
    "moonshotai/Kimi-K2.5": 7168,
    "moonshotai/Kimi-K2.6": 7168,
    "Qwen/Qwen3-235B-A22B-Instruct-2507": 4096,
    "Qwen/Qwen3-30B-A3B-Instruct-2507": 2048,
    "Qwen/Qwen3-30B-A3B": 2048,
    "Qwen/Qwen3-30B-A3B-Base": 2048,
    "Qwen/Qwen3-32B": 5120,
    "Qwen/Qwen3-8B": 4096,
    "Qwen/Qwen3-8B-Base": 4096,
    "Qwen/Qwen3-4B-Instruct-2507": 2560,
    "Qwen/Qwen3-VL-235B-A22B-Instruct": 4096,
    "Qwen/Qwen3-VL-30B-A3B-Instruct": 2048,
    "Qwen/Qwen3.5-397B-A17B": 4096,
    "Qwen/Qwen3.5-35B-A3B": 2048,
    "Qwen/Qwen3.5-35B-A3B-Base": 2048,
    "Qwen/Qwen3.5-27B": 5120,
    "Qwen/Qwen3.5-9B": 4096,
    "Qwen/Qwen3.5-9B-Base": 4096,
    "Qwen/Qwen3.5-4B": 2560,
    "Qwen/Qwen3.6-27B": 5120,
    "Qwen/Qwen3.6-35B-A3B": 2048,
    "Qwen/Qwen3.8-27B": 5120,
    "openai/gpt-oss-120b": 2880,
    "openai/gpt-oss-20b": 2880,
    "nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16": 8192,
    "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16": 4096,
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": 2688,
}
