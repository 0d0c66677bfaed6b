"""The state of a process that outlives a run and that code of a plugin may change."""

import gc
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType, ModuleType
from typing import Any

import torch

# Packages whose functions and classes determine the numbers of every run.
_PATCHABLE = ("torch.nn", "torch.optim", "torch.autograd", "torch.linalg", "lightning", "ablab")
_PATCHABLE_MODULES = {"torch", "torch.utils.data", "math", "random"}
_LIBRARY_FOLDERS = ("site-packages", "dist-packages", os.path.dirname(os.__file__))
_CALLABLES = (FunctionType, BuiltinFunctionType, MethodDescriptorType, staticmethod, classmethod)
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_SIGNALS = ("SIGINT", "SIGTERM", "SIGALRM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCHLD")
_TORCH = os.path.dirname(torch.__file__)
_SMALLEST = [5e-324]  # in a list, so that the compiler does not fold the product below


def _signal_handlers() -> dict[str, Any]:
    numbers = [getattr(signal, name, None) for name in _SIGNALS]
    return {number.name: signal.getsignal(number) for number in numbers if number is not None}


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


# What is compared by value, in words. These change the numbers of every run in the process:
_NUMERIC: Mapping[str, Callable[[], Any]] = {
    "torch's default dtype": torch.get_default_dtype,
    "torch's default device": torch.get_default_device,
    "torch's number of threads": torch.get_num_threads,
    "torch's gradient mode": lambda: (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
    "torch's deterministic algorithms": lambda: (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    ),
    "torch's float32 matmul precision": torch.get_float32_matmul_precision,
    "torch's autocast mode": lambda: [torch.is_autocast_enabled(d) for d in ("cpu", "cuda")],
    "torch's attention backends": lambda: (
        torch.backends.cuda.flash_sdp_enabled(),
        torch.backends.cuda.mem_efficient_sdp_enabled(),
        torch.backends.cuda.math_sdp_enabled(),
        torch.backends.cuda.cudnn_sdp_enabled(),
    ),
    "torch's cuDNN and oneDNN settings": lambda: (
        torch.backends.cudnn.enabled,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.allow_tf32,
        torch.backends.mkldnn.enabled,
    ),
    "the flushing of denormal numbers": lambda: _SMALLEST[0] * 1.0 == 0.0,
}
_SETTINGS: Mapping[str, Callable[[], Any]] = {
    **_NUMERIC,
    "the environment": lambda: dict(os.environ),
    "the working folder": _working_folder,
    "signal handlers": _signal_handlers,
    "the warning filters": lambda: list(warnings.filters),
    "sys.path": lambda: list(sys.path),
    "the recursion limit": sys.getrecursionlimit,
    "the garbage collector": lambda: (gc.isenabled(), gc.get_threshold()),
    "the number of Python threads": threading.active_count,
}


@dataclass(frozen=True)
class ProcessState:
    """A snapshot of the process: settings of torch and Python, functions and classes of the
    libraries that train, and variables of plugin modules.
    """

    settings: Mapping[str, Any]
    """Values by what they are, in words."""
    names: Mapping[str, Mapping[str, Any]]
    """By module or class, what its names refer to."""

    @classmethod
    def take(cls) -> "ProcessState":
        """Return the present state. Takes a few milliseconds."""
        settings = {what: read() for what, read in _SETTINGS.items()}
        return cls(settings, dict(_namespaces()))

    def changes(self) -> tuple[str, ...]:
        """Return what differs by now, in words."""
        now = ProcessState.take()
        settings = [what for what, value in self.settings.items() if now.settings[what] != value]
        return (*settings, *self._renamed(now))

    def numeric_changes(self) -> tuple[str, ...]:
        """Return what differs by now and determines numbers, in words.

        Importing a module may well change the other settings, as the environment.
        """
        now = ProcessState.take()
        settings = [what for what in _NUMERIC if now.settings[what] != self.settings[what]]
        return (*settings, *self._renamed(now))

    def _renamed(self, now: "ProcessState") -> list[str]:
        """Return the names that no longer refer to what they did."""
        return [
            f"{owner}.{name}"
            for owner, before in self.names.items()
            for name in _differing(before, now.names.get(owner, {}))
        ]


def seed_everything(seed: int) -> None:
    """Seed the generators of Python and NumPy, which plugins may draw from."""
    import numpy as np

    random.seed(seed)
    np.random.seed(seed % 2**32)


def _namespaces() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the functions and classes of modules and classes that runs rely on, and the variables
    of modules that do not belong to a library.
    """
    for name, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType):
            continue
        if _is_own(module):
            yield name, {key: _frozen(value) for key, value in vars(module).items()}
        elif name in _PATCHABLE_MODULES or _is_patchable(name):
            values = {
                key: value
                for key, value in list(vars(module).items())
                if isinstance(value, (*_CALLABLES, type))
            }
            yield name, values
            for key, value in values.items():
                if isinstance(value, type) and value.__module__ == name:
                    yield f"{name}.{key}", _Methods(_methods(value))
    yield "torch.Tensor", _Methods(_methods(torch.Tensor))


class _Methods(dict[str, Any]):
    """The methods of a class: an added one may hide an inherited one. Modules, in contrast, gain
    names whenever a submodule is imported.
    """


def _methods(cls: type) -> dict[str, Any]:
    methods = {key: value for key, value in vars(cls).items() if isinstance(value, _CALLABLES)}
    if issubclass(cls, torch.optim.Optimizer):
        methods.pop("step", None)  # torch wraps it when the class is first used
    return methods


def _is_patchable(name: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in _PATCHABLE)


def _is_own(module: ModuleType) -> bool:
    """Return whether the module is a plugin's, or a helper of one: neither of a library nor of
    ablab.
    """
    file = getattr(module, "__file__", None)
    if (
        not file
        or not os.path.isabs(file)
        or module.__name__.partition(".")[0] in ("ablab", "__main__", "__mp_main__")
    ):
        return False
    return not any(folder in file for folder in _LIBRARY_FOLDERS)


def _frozen(value: Any) -> Any:
    """Return a value that equals a later one of the same variable only if it did not change."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return type(value).__name__, [id(item) for item in value]
    if isinstance(value, dict):
        return "dict", [(id(key), id(item)) for key, item in value.items()]
    return id(value)


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the names that no longer refer to what they did."""
    added = list(now.keys() - before.keys()) if isinstance(before, _Methods) else []
    return [name for name, value in before.items() if not _same(value, now.get(name))] + added


def _same(before: Any, now: Any) -> bool:
    if before is now or (isinstance(before, (*_PLAIN, tuple)) and before == now):
        return True
    # Importing torch._dynamo decorates functions of torch.
    code = getattr(now, "__code__", None)
    is_torch = code is not None and code.co_filename.startswith(_TORCH)
    return is_torch and getattr(before, "__qualname__", None) == getattr(now, "__qualname__", "")
