"""What can be set of a server and of the calls to it."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from albu_diffusemix.backends import BackendUnavailableError, option_rules
from albu_diffusemix.backends.editing import ModelInput
from albu_diffusemix.backends.option_rules import Rule
from albu_diffusemix.backends.pixels import aspect_sides

__all__ = ["Settings", "read_settings"]

_GRID = 16  # pixels: the sides of most models are multiples of it
_SEEDS = 2**31  # what every server can hold
_WHERE_NOT_WHAT = ("base_url", "concurrency", "timeout", "retries", "api_key_env")


@dataclass(frozen=True)
class Settings:
    """The options of the backend, checked."""

    base_url: str
    model: str
    size: int
    shape: str
    template: str
    num_inference_steps: int | None
    guidance_scale: float | None
    negative_prompt: str | None
    extra: Mapping[str, Any]
    concurrency: int
    timeout: float
    retries: int
    api_key_env: str | None
    seedless: bool

    def facts(self) -> dict[str, Any]:
        """Return what changes pixels."""
        facts = {name: value for name, value in asdict(self).items() if name not in _WHERE_NOT_WHAT}
        if self.shape == "square":
            del facts["shape"]  # as in stores that were made before there were others
        return facts

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width in pixels at which the model sees an image of this height and width."""
        if self.shape == "square":
            return self.size, self.size
        return aspect_sides(height, width, self.size, _GRID, _GRID)

    def fields(self, one: ModelInput) -> dict[str, str]:
        """Return the fields of a call, as a form has them."""
        height, width = one.image.shape[:2]
        named = ("num_inference_steps", "guidance_scale", "negative_prompt")
        given = {name: getattr(self, name) for name in named if getattr(self, name) is not None}
        form = {"model": self.model, "prompt": one.prompt, "n": 1, "size": f"{width}x{height}"}
        form |= {"response_format": "b64_json", "output_format": "png", "seed": one.seed % _SEEDS}
        return {name: _as_text(value) for name, value in {**form, **given, **self.extra}.items()}

    def key(self) -> str | None:
        """Return the key for the server, None where it needs none.

        Raises:
            BackendUnavailableError: Its variable holds none in this process.

        """
        if self.api_key_env is None:
            return None
        if not _holds_key(self.api_key_env):
            raise BackendUnavailableError(f"the variable {self.api_key_env} of api_key_env holds no key here: set it")
        return os.environ[self.api_key_env].strip()


def _holds_key(variable: Any) -> bool:
    key = os.environ.get(variable, "").strip() if isinstance(variable, str) else ""
    return bool(key) and key.isascii() and key.isprintable()


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_url(value: Any) -> bool:
    try:
        parts = urlsplit(value)
        well_formed = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (ValueError, TypeError, AttributeError):
        return False
    return well_formed and not (parts.username or parts.password or parts.query or parts.fragment)


def _is_flat(value: Any) -> bool:
    ours = {"image", "model", "prompt", "n", "size", "response_format", "output_format", "seed"}
    plain = option_rules.MAPPING.holds(value) and all(isinstance(name, str) for name in value)
    return plain and not ours & set(value) and all(isinstance(one, str | int | float) for one in value.values())


_RULES = {
    "base_url": Rule("an address such as 'http://gpu-server:8091', with no key in it", _is_url),
    "model": Rule("the model's name on the server", lambda value: isinstance(value, str) and bool(value.strip())),
    "size": option_rules.COUNT,
    "shape": option_rules.one_of("square", "aspect"),
    "template": option_rules.TEMPLATE,
    "num_inference_steps": option_rules.COUNT.or_none(),
    "guidance_scale": option_rules.NUMBER.or_none(),
    "negative_prompt": option_rules.TEXT.or_none(),
    "extra": Rule("a mapping of more fields to texts and numbers, not those that are always sent", _is_flat).or_none(),
    "concurrency": option_rules.COUNT,
    "timeout": Rule("a number of seconds above 0", lambda value: option_rules.is_number(value) and value > 0),
    "retries": Rule("a whole number of at least 0", lambda value: option_rules.is_whole(value) and value >= 0),
    "api_key_env": Rule("the name of an environment variable that is set to a key", _holds_key).or_none(),
    "seedless": option_rules.FLAG,
}


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Check the options, and keep them as plain data.

    Raises:
        ValueError: A value is not allowed; the message says which and what is.

    """
    option_rules.check_values(given, _RULES)
    own = {
        "base_url": given["base_url"].rstrip("/").removesuffix("/images/edits").removesuffix("/v1"),
        "extra": dict(given["extra"] or {}),
        "timeout": float(given["timeout"]),
    }
    return Settings(**{field.name: own.get(field.name, given[field.name]) for field in fields(Settings)})
