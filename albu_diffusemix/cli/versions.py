"""What `--version` says: all that a bug report needs to name, in one line."""

import argparse
import platform
from typing import Any

import albumentations
import cv2
import numpy as np

from albu_diffusemix import __version__
from albu_diffusemix._host import HOST, installed_version
from albu_diffusemix.cli.common import say

__all__ = ["ShowVersions", "describe_versions"]

_OPTIONAL = ("torch", "diffusers", "onnxruntime", "ray")


class ShowVersions(argparse.Action):
    """Print the versions and exit; argparse's own action would wrap the line at the width of the terminal."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print the line, and end the program with status 0."""
        say(describe_versions())
        parser.exit()


def describe_versions() -> str:
    """Return one line with our version, the host's, Python's, and those of the packages that matter.

    Optional packages are named only where they are installed; they are not imported, for that may take seconds.
    """
    named = [
        f"{HOST} {albumentations.__version__}",
        f"Python {platform.python_version()}",
        f"OpenCV {cv2.__version__}",
        f"NumPy {np.__version__}",
        *(f"{name} {version}" for name in _OPTIONAL if (version := installed_version(name))),
        f"{platform.system()} {platform.machine()}",
    ]
    return f"albu-diffusemix {__version__} ({', '.join(named)})"
