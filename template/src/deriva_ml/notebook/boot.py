"""The kernel's main module: ipykernel, with what ``run_notebook`` needs loading while the runner still connects."""

from __future__ import annotations

import importlib
import threading


def _load_ahead() -> None:
    for name in (
        "deriva_ml.execution.hydra_config",
        "hydra",
        "deriva_ml.execution.execution",
        "deriva_ml.core",
    ):
        importlib.import_module(name)


if __name__ == "__main__":
    from ipykernel.kernelapp import IPKernelApp

    threading.Thread(target=_load_ahead, daemon=True).start()
    IPKernelApp.launch_instance()
