"""Calls to the server: many at a time, again after a pause where the reason passes, given up where it does not."""

import asyncio
import base64
import itertools
from collections.abc import Sequence
from typing import Any, TypeAlias

import cv2
import httpx2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.backends import BackendUnavailableError
from albu_diffusemix.backends.editing import ModelInput
from albu_diffusemix.backends.images_api.settings import Settings
from albu_diffusemix.images import read_encoded
from albu_diffusemix.text import in_one_line

__all__ = ["Answer", "describe_server", "edit_all"]

Answer: TypeAlias = NDArray[np.uint8] | str
"""An edited image, (size, size, 3) RGB; or why there is none."""

_EDITS = "/v1/images/edits"
_PASSING = {408, 409, 425, 429, 500, 502, 503, 504}
_THE_SERVERS = {429, 502, 503, 504}  # says that of itself, whatever the image
_FOR_ALL = {401: "refuses the key", 403: "refuses the key", 404: "has no such address or model"}
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0  # seconds
_LONGEST_DETAIL = 160
_ASKED_FOR = 10.0  # seconds that a server may take to describe itself


class _TroubleError(Exception):
    """Why a call came to nothing.

    Args:
        seen: What was seen of it.
        for_all: Whether it concerns all images.
        asked_pause: Seconds that the server asks to wait, None where it does not.

    """

    def __init__(self, seen: str, *, for_all: bool = False, asked_pause: float | None = None) -> None:
        super().__init__(seen)
        self.for_all = for_all
        self.asked_pause = asked_pause

    def pause_before(self, attempt: int) -> float:
        """Return the seconds to wait: what the server asks for, else twice as long each time."""
        if self.asked_pause is not None:
            return self.asked_pause
        return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (attempt - 1))


async def edit_all(settings: Settings, inputs: Sequence[ModelInput]) -> list[Answer]:
    """Have all images edited, in order.

    Raises:
        BackendUnavailableError: No image can be edited.

    """
    gate = asyncio.Semaphore(settings.concurrency)
    async with httpx2.AsyncClient(**_connection(settings), timeout=settings.timeout) as client:
        calls = [asyncio.ensure_future(_edit(client, gate, settings, one)) for one in inputs]
        try:
            return list(await asyncio.gather(*calls))
        finally:
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)


def describe_server(settings: Settings) -> dict[str, str]:
    """Return what the server says of itself: its version, and where its model comes from; nothing where it does not."""
    version, models = _ask(settings, "/version"), _ask(settings, "/v1/models")
    said = {"server": settings.base_url, "server_version": version.get("version")}
    for model in models.get("data") or []:
        if isinstance(model, dict) and model.get("id") == settings.model:
            said["model_root"] = model.get("root")
    return {name: value for name, value in said.items() if isinstance(value, str)}


def _ask(settings: Settings, path: str) -> dict[str, Any]:
    with httpx2.Client(**_connection(settings), timeout=_ASKED_FOR) as client:
        try:
            answer = client.get(path).json()
        except (httpx2.HTTPError, ValueError):
            return {}
    return answer if isinstance(answer, dict) else {}


def _connection(settings: Settings) -> dict[str, Any]:
    key = settings.key()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return {"base_url": settings.base_url, "headers": headers, "limits": httpx2.Limits(max_connections=None)}


async def _edit(client: httpx2.AsyncClient, gate: asyncio.Semaphore, settings: Settings, one: ModelInput) -> Answer:
    png = cv2.imencode(".png", cv2.cvtColor(one.image, cv2.COLOR_RGB2BGR))[1].tobytes()
    fields = settings.fields(one)
    for attempt in itertools.count(1):
        try:
            async with gate:
                return await _call(client, settings, fields, png)
        except _TroubleError as trouble:
            if attempt > settings.retries:
                return _given_up(settings, trouble, f"{attempt} times" if attempt > 1 else "once")
            pause = trouble.pause_before(attempt)
        await asyncio.sleep(pause)
    raise AssertionError("unreachable")


def _given_up(settings: Settings, trouble: _TroubleError, times: str) -> str:
    if trouble.for_all:
        raise _unavailable(settings, f"{trouble}, {times}; run the same command again when it serves")
    return f"the server: {trouble}, {times}"


async def _call(client: httpx2.AsyncClient, settings: Settings, fields: dict[str, str], png: bytes) -> Answer:
    image = {"image": ("image.png", png, "image/png")}
    try:
        reply = await asyncio.wait_for(client.post(_EDITS, data=fields, files=image), settings.timeout)
    except (asyncio.TimeoutError, httpx2.TimeoutException) as error:
        raise _TroubleError(f"no whole answer in {settings.timeout:g} s") from error
    except httpx2.ConnectError as error:
        raise _TroubleError(f"cannot be reached: {in_one_line(error)}", for_all=True) from error
    except httpx2.HTTPError as error:
        raise _TroubleError(f"the answer broke off: {in_one_line(error) or type(error).__name__}") from error
    status = reply.status_code
    if reply.is_success:
        return _read(reply, fields["size"], settings)
    detail = f"answered {status}: {_detail(reply, settings)}"
    if status in _FOR_ALL:
        hint = _key_hint(settings) if status in (401, 403) else "; check base_url and model"
        raise _unavailable(settings, f"{_FOR_ALL[status]}, {detail}{hint}")
    if status in _PASSING:
        raise _TroubleError(detail, for_all=status in _THE_SERVERS, asked_pause=_retry_after(reply))
    return f"the server {detail}"


def _read(reply: httpx2.Response, size: str, settings: Settings) -> Answer:
    try:
        said = reply.json()
    except ValueError as error:
        raise _TroubleError("the answer is not valid JSON") from error
    try:
        text = said["data"][0]["b64_json"]
    except (LookupError, TypeError):
        return f"the server's answer has no b64_json: {_detail(reply, settings)}"
    try:
        image = read_encoded(base64.b64decode(text, validate=True), "the server's answer")
    except (ValueError, TypeError) as error:
        raise _TroubleError(in_one_line(error)) from error
    drawn = f"{image.shape[1]}x{image.shape[0]}"
    if drawn != size:
        return f"the server gave {drawn} pixels where {size} were asked for: give a size that it can draw"
    return image


def _detail(reply: httpx2.Response, settings: Settings) -> str:
    """Return what the server says of an error; never the key, should it repeat it."""
    try:
        said = reply.json()
    except ValueError:
        said = reply.text
    for name in ("error", "detail", "message"):
        said = said.get(name, said) if isinstance(said, dict) else said
    key = settings.key()
    text = in_one_line(said)
    return (text.replace(key, "***") if key else text)[:_LONGEST_DETAIL]


def _retry_after(reply: httpx2.Response) -> float | None:
    """Return the seconds that the server asks for, at most ten minutes; None where it does not, or gives a date."""
    asked = reply.headers.get("retry-after", "")
    return min(float(asked), 10 * _LONGEST_PAUSE) if asked.isdecimal() else None


def _key_hint(settings: Settings) -> str:
    if settings.api_key_env:
        return f"; check the key in the variable {settings.api_key_env}"
    return "; put the key into a variable of the environment, and give its name as api_key_env"


def _unavailable(settings: Settings, reason: str) -> BackendUnavailableError:
    return BackendUnavailableError(f"the server at {settings.base_url} {reason}")
