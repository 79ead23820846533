"""Which diffusers is installed, asked without importing it."""

from importlib.metadata import version

__all__ = ["installed_diffusers", "is_diffusers"]


def installed_diffusers() -> str:
    """Return its version."""
    return version("diffusers")


def is_diffusers(least: str) -> bool:
    """Return whether it is this version, such as "0.37", or a newer one."""
    return _numbers(installed_diffusers()) >= _numbers(least)


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(map(int, name.split(".")[:2]))
