"""Seeds of DataLoader workers, for the pipelines that the MIT host leaves with one seed in all of them."""

import contextlib
import functools
import inspect
import random
import sys
import warnings
import zlib
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from albu_diffusemix._host import HOST, BaseCompose, BasicTransform, worker_seed

__all__ = ["worker_init_fn"]

MOST_PIPELINES = 64
"""A list that is longer holds samples, not pipelines, and is not looked through."""

_METHODS = ("__getitem__", "__getitems__", "__iter__", "__call__")
"""What a loader calls of a data set, and a data set of what it holds."""


def worker_init_fn(worker_id: int) -> None:
    """Seed the native transforms of a DataLoader worker, for `DataLoader(..., worker_init_fn=worker_init_fn)`.

    albumentations 2.0.8 hands every worker the same random numbers, and each epoch those of the first. The transforms
    of this package correct that themselves; this function corrects it for the others of the pipeline. Each pipeline
    that the data set holds is seeded from the worker's seed and its own: workers differ, epochs differ, and a run after
    `torch.manual_seed` repeats. AlbumentationsX does all of that itself: there, nothing is done.

    The pipeline may be an attribute of the data set, of a data set that it wraps, or of an object or function that it
    calls; or a global name that such a function or the data set's own `__getitem__` uses.

    It seeds from torch's own seed in the worker. A framework that puts its rank into that seed by an init function of
    its own (Lightning, the Hugging Face Trainer) must be called first: give the loader a function that calls both.

    Args:
        worker_id: Number of the worker, as torch gives it; the worker's seed is already its own.

    Raises:
        RuntimeError: Called in a process that is not a DataLoader worker.

    Examples:
        >>> import torch
        >>> from albu_diffusemix import worker_init_fn
        >>> dataset = torch.utils.data.TensorDataset(torch.zeros(4))
        >>> loader = torch.utils.data.DataLoader(dataset, num_workers=2, worker_init_fn=worker_init_fn)

    """
    seed = worker_seed()
    if seed is None:
        raise RuntimeError(
            f"worker_init_fn({worker_id}) was called in a process that is not a DataLoader worker; hand the function "
            "itself to DataLoader(worker_init_fn=...)",
        )
    if HOST != "albumentations":
        return
    dataset = sys.modules["torch.utils.data"].get_worker_info().dataset
    pipelines = list(_pipelines(dataset))
    if not pipelines:
        warnings.warn(
            f"worker_init_fn found no Albumentations pipeline in the {type(dataset).__name__}: hold it as an attribute "
            "of the data set, or the native transforms draw the same numbers in every worker",
            stacklevel=2,
        )
    for pipeline in pipelines:
        own_seed = zlib.crc32(f"{seed}:{getattr(pipeline, 'seed', None)}".encode())
        # One generator for all: set_random_seed would hand each of them the same numbers, and two flips would agree.
        pipeline.set_random_state(np.random.default_rng(own_seed), random.Random(own_seed))


def _pipelines(dataset: Any) -> Iterator[Any]:
    waiting, seen = [dataset], set()
    while waiting:
        holder = waiting.pop()
        if id(holder) in seen:
            continue
        seen.add(id(holder))
        if isinstance(holder, BaseCompose | BasicTransform):
            yield holder
        else:
            waiting.extend(_held_by(holder))


def _held_by(holder: Any) -> tuple[Any, ...]:
    if isinstance(holder, ModuleType | type):
        return ()
    if isinstance(holder, dict | list | tuple):
        return _few(holder)
    if inspect.ismethod(holder):
        return (holder.__self__, holder.__func__)
    if inspect.isfunction(holder):
        return tuple(_used_by(holder))
    partial = (holder.func, holder.args, holder.keywords) if isinstance(holder, functools.partial) else ()
    methods = (getattr(type(holder), name, None) for name in _METHODS)
    return (*partial, *filter(inspect.isfunction, methods), *getattr(holder, "__dict__", {}).values())


def _used_by(function: FunctionType) -> Iterator[Any]:
    """Yield what a function finds by the names in it, those in its comprehensions, lambdas and inner functions too."""
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # a name that has no value yet
            yield cell.cell_contents
    codes = [function.__code__]
    for code in codes:
        yield from (function.__globals__[name] for name in code.co_names if name in function.__globals__)
        codes.extend(const for const in code.co_consts if isinstance(const, CodeType))


def _few(held: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> tuple[Any, ...]:
    if len(held) > MOST_PIPELINES:
        return ()
    return tuple(held.values() if isinstance(held, dict) else held)
