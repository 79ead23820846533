"""Counterparts from a server that speaks `POST /v1/images/edits`, as vLLM-Omni and SGLang do."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from albu_diffusemix.backends import Counterpart, Request, option_rules
from albu_diffusemix.backends.editing import ModelInput, check_prompt, checked_prompts, digest_facts
from albu_diffusemix.backends.images_api.settings import read_settings
from albu_diffusemix.backends.loaded_once import LoadedOnce
from albu_diffusemix.backends.pixels import resize, to_counterpart
from albu_diffusemix.prompts import PAPER_PROMPTS

__all__ = ["VERSION", "ImagesApi"]

VERSION = 1
"""Raised with every change of the code that changes pixels."""


class ImagesApi:
    """Any editing model behind a server: one GPU serves a team, and this machine needs neither torch nor weights.

    Needs httpx2. Each request is one call of `POST {base_url}/v1/images/edits`: the image as a PNG, the prompt
    in its template, the seed. Calls that fail for a passing reason are made again after a pause. Before the first image
    the server is asked for four small ones, to see that it uses the seed and the image.

    The server decides how far a counterpart depends on its request alone: many add up a batch in another order, and
    differ by a grey level or two from run to run.

    Source: the interface, https://docs.vllm.ai/projects/vllm-omni.

    Args:
        base_url: Where the server is, such as "http://gpu-server:8091".
        model: The model's name there.
        size: Side in pixels of the square that the model sees. Default: 512.
        shape: "square", or "aspect": the square's area at the image's own ratio, in steps of at least 16 pixels.
            Default: "square".
        template: Text around each prompt. Default: "{prompt}".
        num_inference_steps: Default: None, the server's own.
        guidance_scale: Default: None, the server's own.
        negative_prompt: Default: None, the server's own.
        extra: More fields of the call, as the server calls them, such as `{"true_cfg_scale": 4.0}`. Default: None.
        concurrency: Calls at the same time. Default: 4.
        timeout: Seconds that a call may take, the pause before it not counted. Default: 600.
        retries: How often a call is made again. Default: 6, which are two minutes of pauses.
        api_key_env: Name of the environment variable that holds the key; the key itself is never kept. Default: None.
        seedless: Whether a server may be used that draws other images at each call. Default: False.

    Raises:
        ValueError: httpx2 is missing, a value is not allowed, or the variable of the key holds none.

    Examples:
        >>> from albu_diffusemix import create_backend
        >>> create_backend({"name": "images_api", "base_url": "http://gpu:8091", "model": "FLUX.2-klein-4B"})
        ImagesApi('http://gpu:8091', 'FLUX.2-klein-4B')

    """

    prompts: tuple[str, ...] = PAPER_PROMPTS
    uses_gpu = False

    def __init__(
        self,
        base_url: str,
        model: str,
        size: int = 512,
        shape: str = "square",
        template: str = "{prompt}",
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str | None = None,
        extra: Mapping[str, Any] | None = None,
        concurrency: int = 4,
        timeout: float = 600.0,
        retries: int = 6,
        api_key_env: str | None = None,
        seedless: bool = False,  # noqa: FBT001, FBT002  specs give it by name
    ) -> None:
        option_rules.check_packages("images_api", ("httpx2",))
        self._settings = read_settings(locals())  # the arguments above, by name
        self.fingerprint = digest_facts(f"images_api-{VERSION}", self._settings.facts())
        self._check_server = LoadedOnce(self._probe)

    def __repr__(self) -> str:
        return f"ImagesApi({self._settings.base_url!r}, {self._settings.model!r})"

    @property
    def batch_size(self) -> int:
        """How many requests at once: twice the calls at the same time, so that none waits for the slowest."""
        return 2 * self._settings.concurrency

    def check_prompt(self, prompt: str) -> None:
        """Raise ValueError for an empty prompt; the model takes any other."""
        check_prompt(prompt)

    def generate(self, requests: Sequence[Request]) -> list[Counterpart]:
        """Have each request's image edited, and cut out its box.

        Args:
            requests: Images `(H, W, 3)` uint8 RGB of any size from 1x1 up, only read. A prompt of None is chosen among
                `prompts` by the request's seed.

        Returns:
            One for each request, in order: "ok"; or "blank"; or "failed" with the reason, where the server refuses this
            image or gives another size.

        Raises:
            BackendUnavailableError: The server cannot be reached, refuses the key or the model, or ignores the seed.
            ValueError: A request is wrong.

        """
        prompts = checked_prompts(requests)
        if not requests:
            return []
        self._check_server()
        inputs = [self._model_input(*asked) for asked in zip(requests, prompts, strict=True)]
        return [_counterpart(*made) for made in zip(requests, prompts, self._edit(inputs), strict=True)]

    def provenance(self) -> dict[str, str]:
        """Return what the server says of itself: its name and version, the model; empty where it says nothing."""
        from albu_diffusemix.backends.images_api import client  # noqa: PLC0415  imports httpx2

        return client.describe_server(self._settings)

    def _model_input(self, request: Request, prompt: str) -> ModelInput:
        height, width = self._settings.sides(*request.image.shape[:2])
        image = np.ascontiguousarray(resize(request.image, width, height))
        return ModelInput(image, self._settings.template.replace("{prompt}", prompt), request.seed)

    def _edit(self, inputs: Sequence[ModelInput]) -> "list[Any]":
        from albu_diffusemix.backends.images_api import client  # noqa: PLC0415  as above

        edits = client.edit_all(self._settings, inputs)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(edits)
        with ThreadPoolExecutor(1) as pool:  # a notebook's own loop runs in this thread
            return pool.submit(asyncio.run, edits).result()

    def _probe(self) -> None:
        from albu_diffusemix.backends.images_api import probe  # noqa: PLC0415  as above

        probe.check(self._edit, self._settings)


def _counterpart(request: Request, prompt: str, answer: Any) -> Counterpart:
    if isinstance(answer, str):
        return Counterpart(None, "failed", prompt, reason=answer)
    return to_counterpart(request, prompt, answer.astype(np.float32) / 255)
