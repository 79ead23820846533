"""The description on a package index is README.md without its picture, which only the repository has."""

import re
from pathlib import Path

from setuptools import setup

README = Path(__file__).with_name("README.md").read_text(encoding="utf-8")

setup(long_description=re.sub(r"^!\[.*?\]\(.*?\)\n\n", "", README, flags=re.MULTILINE))
