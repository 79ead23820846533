"""What stands around the code for those who find it, use it, or carry it on."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
MADE = re.compile(r"\.(?!github$|ci$).*|build|dist|_build|__pycache__|.*\.egg-info|.*\.dm|diffusemix_demo")
TEXTS = {".cff", ".cfg", ".in", ".json", ".md", ".py", ".toml", ".txt", ".yaml", ".yml", ""}
REGISTRY = re.compile(
    r"(?:pypi|pythonhosted|huggingface|hf|anaconda|conda|npmjs|docker|github|gitlab|debian)\.(?:org|com|co|io)\b"
)


def texts():
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if not MADE.fullmatch(name)]
        yield from (Path(folder, name) for name in files if Path(name).suffix in TEXTS)


def test_no_address_of_a_package_registry_stands_in_code_documentation_or_stores():
    found = {
        str(path.relative_to(ROOT)): addresses
        for path in texts()
        if path.is_file() and (addresses := REGISTRY.findall(path.read_text(errors="replace")))
    }
    assert found == {}
