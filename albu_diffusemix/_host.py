"""The only file that knows which Albumentations is installed: the MIT one (2.0.8) or AlbumentationsX (2.x).

Both install the folder `albumentations/`; they differ in sampling hooks, sources of randomness and targets.
`HostTransform` speaks to either, so that a transform of ours is one class with two methods of its own: `sample` draws
plain scalars, `apply` does the work.
"""

import json
import os
import random
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextvars import ContextVar
from importlib import metadata
from typing import Any, TypeAlias

import numpy as np

try:
    import albumentations
except ModuleNotFoundError as error:
    if error.name != "albumentations":
        raise
    raise ModuleNotFoundError(
        "albu_diffusemix extends Albumentations, which is not installed: pip install albumentations "
        "(MIT), or albumentationsx with torch and opencv-python-headless",
        name=error.name,
    ) from error

from albumentations.core.composition import BaseCompose
from albumentations.core.transforms_interface import BaseTransformInitSchema, BasicTransform, ImageOnlyTransform

try:
    from albumentations.core.transform_params import SampledParams
except ImportError:
    SampledParams = None

__all__ = [
    "BOX_FORMAT",
    "HOST",
    "BaseCompose",
    "BaseTransformInitSchema",
    "BasicTransform",
    "HostTransform",
    "ImageOnlyTransform",
    "call_data",
    "call_findings",
    "installed_version",
    "worker_seed",
]

LAST_MIT_RELEASE = (2, 0, 8)
HOST = (
    "albumentationsx"
    if tuple(map(int, albumentations.__version__.split(".")[:3])) > LAST_MIT_RELEASE
    else "albumentations"
)
"""Name of the distribution whose code runs."""

BOX_FORMAT = "format" if HOST == "albumentations" else "coord_format"
"""What `BboxParams` calls the way that boxes are written."""


def _warn_of_two_hosts() -> None:
    mit, x = map(installed_version, ("albumentations", "albumentationsx"))
    if mit is None or x is None:
        return
    warnings.warn(
        f"albumentations {mit} and albumentationsx {x} are both installed and write the same folder: what runs is a "
        "mixture of their files. Keep one: pip uninstall -y albumentations albumentationsx, then install one",
        stacklevel=2,
    )


def installed_version(name: str) -> str | None:
    """Return the version of a distribution; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


_warn_of_two_hosts()


_Call: TypeAlias = tuple[dict[str, Any], dict[str, Any]]
"""The data of a call, and what its work finds out."""

_call: ContextVar[_Call | None] = ContextVar("albu_diffusemix_call", default=None)


def call_data() -> dict[str, Any]:
    """Return the data of the call under way, by the names that the caller used; empty outside of a call."""
    call = _call.get()
    return {} if call is None else call[0]


def call_findings() -> dict[str, Any]:
    """Return where to put what only the work of a call finds out: the records of the call will say it too."""
    call = _call.get()
    return {} if call is None else call[1]


def worker_seed() -> int | None:
    """Return a seed for this DataLoader worker and rank; None in any other process, or where torch is not loaded.

    It is torch's own seed: some frameworks put the rank into it, and leave that of `get_worker_info` as it was. Others
    leave both alike on all ranks, so the rank is added, above the 64 bits of torch's seed.
    """
    data = sys.modules.get("torch.utils.data")
    if data is None or data.get_worker_info() is None:
        return None
    return int(sys.modules["torch"].initial_seed()) + (_rank() << 64)


def _rank() -> int:
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    told = os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or "0"  # in spawned workers
    return int(told) if told.isdecimal() else 0


class HostTransform:
    """What both hosts need, as a plain mixin placed before `ImageOnlyTransform`.

    It has to be a plain class: AlbumentationsX refuses the sampling hooks of the MIT host in the body of a transform.
    """

    p: float
    py_random: random.Random
    params: Any
    applied_config: dict[str, Any]
    deterministic: bool
    replay_mode: bool
    save_key: str
    _is_seeded = False
    _process: int | None = None

    def sample(self, rng: random.Random, data: dict[str, Any]) -> dict[str, Any]:
        """Draw the parameters of one call: scalars that JSON can hold, from `rng` alone."""
        raise NotImplementedError

    def applied_arguments(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the constructor that fix what was drawn: what AlbumentationsX records as applied."""
        raise NotImplementedError

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Sample for the MIT host and for AlbumentationsX before 2.4."""
        del params
        return self.sample(self.py_random, data)

    def sample_parameters(
        self,
        params: dict[str, Any],
        data: dict[str, Any],
        targets: Any = None,
        sampling: Any = None,
    ) -> Any:
        """Sample for AlbumentationsX from 2.4 on, whose `Compose(seed=)` reaches `sampling` alone."""
        del params, targets
        sampled = self.sample(sampling.py_random, data)
        sampling.applied_overrides.update(self.applied_arguments(sampled))
        return sampled if SampledParams is None else SampledParams(params=sampled)

    def apply_with_params(self, params: Any, *args: Any, **data: Any) -> dict[str, Any]:
        """Apply, with the caller's data within reach, for what must not travel through copied parameters."""
        findings: dict[str, Any] = {}
        token = _call.set((data, findings))
        try:
            result: dict[str, Any] = super().apply_with_params(params, *args, **data)  # type: ignore[misc]
        finally:
            _call.reset(token)
        if findings and not self.replay_mode:
            self._complete_records(params, data, findings)
        return result

    def _complete_records(self, params: Any, data: dict[str, Any], findings: dict[str, Any]) -> None:
        """Add what was found to the records of this call, which the hosts make before it is applied."""
        for record in self._records(params, data):
            record.update(findings)
        if HOST == "albumentationsx" and self.applied_config:
            self.applied_config.update(self.applied_arguments({**params.params, **findings}))

    def _records(self, params: Any, data: dict[str, Any]) -> Iterator[dict[str, Any]]:
        replay = data.get(self.save_key, {}).get(id(self)) if self.deterministic else None
        if HOST == "albumentations":
            yield params
            if replay is not None:
                yield replay
            return
        if self.params:  # empty where nothing is recorded
            yield self.params["params"]
        if replay is not None:
            yield replay[-1]["params"]

    def apply_to_volumes(self, volumes: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        """Apply to each volume of a stack of any length."""
        if len(volumes) == 0:
            return volumes
        return np.stack([self.apply_to_volume(volume, *args, **params) for volume in volumes])  # type: ignore[attr-defined]

    def set_random_seed(self, seed: int | None) -> None:
        """Seed, salted by the transform: the MIT host hands every transform of a pipeline the same seed."""
        super().set_random_seed(seed)  # type: ignore[misc]
        self._is_seeded = seed is not None
        if seed is not None:
            self.py_random = random.Random(f"{seed}:{self._salt()}")

    def set_random_state(self, *generators: Any) -> None:
        """Take generators in place of a seed."""
        super().set_random_state(*generators)  # type: ignore[misc]
        self._is_seeded = True

    def seeded_here(self) -> None:
        """Keep the generators that this process has just set: at the next call no worker's seed replaces them."""
        self._process = os.getpid()

    def should_apply(self, *args: Any, **kwargs: Any) -> bool:
        """Decide by `p`, after a reseed in a process to which the host copied the generator of another one."""
        process = os.getpid()
        if process != self._process:
            self._process = process
            self._reseed()
        applies: bool = super().should_apply(*args, **kwargs)  # type: ignore[misc]
        return applies

    def _reseed(self) -> None:
        seed = worker_seed()
        if seed is not None:
            self.py_random = random.Random(f"{seed}:{getattr(self, 'seed', None)}:{self._salt()}")
        elif HOST == "albumentations" and not self._is_seeded:  # the other host gives out numbers of its own
            self.py_random = random.Random()

    def _salt(self) -> int:
        """Tell this transform from others of its pipeline; the same before and after it was saved and loaded."""
        arguments = json.dumps(self.get_transform_init_args(), sort_keys=True, default=str)  # type: ignore[attr-defined]
        return zlib.crc32(f"{type(self).__name__} {arguments}".encode())
