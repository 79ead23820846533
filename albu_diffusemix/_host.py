"""The only file that knows which Albumentations is installed: the MIT one (2.0.8) or AlbumentationsX (2.x).

Both install the folder `albumentations/`; they differ in sampling hooks, sources of randomness and targets.
`HostTransform` speaks to either, so that a transform of ours is one class with two methods of its own: `sample` draws
plain scalars, `apply` does the work.
"""

import json
import random
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from albumentations.core.transforms_interface import BaseTransformInitSchema, ImageOnlyTransform

try:
    from albumentations.core.transform_params import SampledParams
except ImportError:
    SampledParams = None

__all__ = ["BaseTransformInitSchema", "HostTransform", "ImageOnlyTransform", "call_data"]


_call_data: ContextVar[dict[str, Any]] = ContextVar("albu_diffusemix_call_data")


def call_data() -> dict[str, Any]:
    """Give the data of the call under way, by the names that the caller used; empty outside of a call."""
    return _call_data.get({})


@contextmanager
def _calling(data: dict[str, Any]) -> Iterator[None]:
    token = _call_data.set(data)
    try:
        yield
    finally:
        _call_data.reset(token)


def _worker_seed() -> int | None:
    """Seed of the DataLoader worker that this process is; None in any other process, or where torch is not loaded."""
    data = sys.modules.get("torch.utils.data")
    info = data.get_worker_info() if data is not None else None
    return None if info is None else int(info.seed)


class HostTransform:
    """What both hosts need, as a plain mixin placed before `ImageOnlyTransform`.

    It has to be a plain class: AlbumentationsX refuses the sampling hooks of the MIT host in the body of a transform.
    """

    p: float
    py_random: random.Random
    _seeded_for_worker: int | None = None

    def sample(self, rng: random.Random, data: dict[str, Any]) -> dict[str, Any]:
        """Draw the parameters of one call: scalars that JSON can hold, from `rng` alone."""
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
        return sampled if SampledParams is None else SampledParams(params=sampled)

    def apply_with_params(self, params: Any, *args: Any, **data: Any) -> dict[str, Any]:
        """Apply, with the caller's data at hand for what must not travel through copied parameters."""
        with _calling(data):
            result: dict[str, Any] = super().apply_with_params(params, *args, **data)  # type: ignore[misc]
        return result

    def apply_to_volumes(self, volumes: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        """Apply to each volume of a stack of any length."""
        if len(volumes) == 0:
            return volumes
        return np.stack([self.apply_to_volume(volume, *args, **params) for volume in volumes])  # type: ignore[attr-defined]

    def set_random_seed(self, seed: int | None) -> None:
        """Seed, salted by the transform: the MIT host hands every transform of a pipeline the same seed."""
        super().set_random_seed(seed)  # type: ignore[misc]
        if seed is not None:
            self.py_random = random.Random(f"{seed}:{self._salt()}")

    def should_apply(self, *args: Any, **kwargs: Any) -> bool:
        """Decide by `p`, after a reseed where this process is a DataLoader worker that the MIT host left unseeded."""
        worker_seed = _worker_seed()
        if worker_seed is not None and worker_seed != self._seeded_for_worker:
            self._seeded_for_worker = worker_seed
            self.py_random = random.Random(f"{worker_seed}:{getattr(self, 'seed', None)}:{self._salt()}")
        applies: bool = super().should_apply(*args, **kwargs)  # type: ignore[misc]
        return applies

    def _salt(self) -> int:
        """Tell this transform from others of its pipeline; the same before and after it was saved and loaded."""
        arguments = json.dumps(self.get_transform_init_args(), sort_keys=True, default=str)  # type: ignore[attr-defined]
        return zlib.crc32(f"{type(self).__name__} {arguments}".encode())
