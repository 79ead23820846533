"""Stores on the Hugging Face Hub: found in its cache, downloaded where they are not there."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from albu_diffusemix.store.files import StoreError
from albu_diffusemix.store.part_files import PARTS
from albu_diffusemix.store.readme import SCORES_PICTURE
from albu_diffusemix.store.store_json import STORE_JSON
from albu_diffusemix.text import in_one_line, printable

__all__ = ["HUB", "HubAddress", "download", "explained_hub", "find_store", "need_library", "store_commit"]

HUB = "hf://"
"""How the address of a store on the Hub begins."""

BUT_LAST = [f"{PARTS}/*", "index/*", "README.md", SCORES_PICTURE]
"""What is downloaded before store.json, whose presence then says that all is there."""

_FORM = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w-][\w./-]*))?", re.ASCII)


class HubAddress(NamedTuple):
    """A data set of the Hub: `owner/name`, and a branch, tag or commit of it."""

    repository: str
    revision: str = "main"

    @classmethod
    def of(cls, text: str) -> "HubAddress":
        """Read `owner/name[@revision]`, with `hf://` before it or without.

        Raises:
            StoreError: It has another form.

        """
        found = _FORM.fullmatch(text.removeprefix(HUB))
        if found is None or ".." in text:
            raise StoreError(
                f"{text!r} is not a data set of the Hub: write {HUB}owner/name or {HUB}owner/name@revision"
            )
        return cls(found[1], found[2] or "main")


def find_store(path: str | os.PathLike[str]) -> Path:
    """Return the folder of a store.

    Args:
        path: The folder, or `hf://owner/name[@revision]`. What the Hub's cache has is taken as it is, without a
            network; what it has not is downloaded into it.

    Raises:
        StoreError: The address is wrong, or the store is not in the cache and cannot be downloaded.

    """
    if not isinstance(path, str) or not path.startswith(HUB):
        return Path(path)
    need_library(path)
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415  only for stores of the Hub

    address = HubAddress.of(path)
    found = try_to_load_from_cache(address.repository, STORE_JSON, revision=address.revision, repo_type="dataset")
    return Path(found).parent if isinstance(found, str) else download(address)


def download(address: HubAddress, folder: Path | None = None) -> Path:
    """Download a store, and return where it is; what is there already is not downloaded again.

    Args:
        address: Which one.
        folder: Where to put it. None is the Hub's cache, where `find_store` finds it.

    Raises:
        StoreError: It cannot be downloaded, or is not a store.

    """
    need_library(address.repository)
    from huggingface_hub import snapshot_download  # noqa: PLC0415  only for stores of the Hub

    store_commit(address)
    with explained_hub(address):
        options: dict[str, Any] = {"repo_type": "dataset", "local_dir": folder}
        most = snapshot_download(address.repository, revision=address.revision, allow_patterns=BUT_LAST, **options)
        commit = address.revision if folder else Path(most).name
        return Path(snapshot_download(address.repository, revision=commit, allow_patterns=[STORE_JSON], **options))


def store_commit(address: HubAddress) -> str:
    """Return the commit that an address stands for now.

    Raises:
        StoreError: The Hub cannot be asked, has no such revision, or holds something else there.

    """
    from huggingface_hub import HfApi  # noqa: PLC0415  only for stores of the Hub

    with explained_hub(address):
        info = HfApi().dataset_info(address.repository, revision=address.revision)
    names = [file.rfilename for file in info.siblings or []]
    if STORE_JSON not in names:
        first = next((name for name in names if not name.startswith(".")), "")
        holds = f"holds {printable(first)!r} but no {STORE_JSON}" if first else "is empty"
        raise StoreError(f"{address.repository} at {address.revision} {holds}: it is not a store; check the name")
    return str(info.sha)


def need_library(what: str) -> None:
    """Raise StoreError if huggingface_hub is not installed."""
    try:
        import huggingface_hub  # noqa: F401, PLC0415  only for stores of the Hub
    except ImportError as error:
        raise StoreError(f"{what} needs huggingface_hub: pip install huggingface_hub") from error


@contextlib.contextmanager
def explained_hub(address: HubAddress) -> Iterator[None]:
    """Turn what the Hub's library raises in the block into one line: what failed and what to do."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        wrapped = isinstance(error, RuntimeError) and error.__cause__  # by the library, around what tells more
        raise StoreError(_explanation(wrapped or error, *address)) from error


def _explanation(error: BaseException, repository: str, revision: str) -> str:
    from huggingface_hub import errors  # noqa: PLC0415  only for stores of the Hub

    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repository} has no revision {revision!r}: give one of its branches, tags or commits"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"the Hub has no data set {repository} that you may see: check the name; if it is private, log in with "
            "`hf auth login` or set HF_TOKEN"
        )
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if status in (401, 403):
        return f"the Hub does not let you do this with {repository}: log in with a token that may write there"
    reason = in_one_line(error)
    if isinstance(error, ValueError) or status:
        return f"the Hub refuses {repository}: {reason}"
    if isinstance(error, OSError) and error.filename:
        return f"cannot write {error.filename}: {error.strerror}; free some space, or choose another folder"
    return (
        f"the Hub cannot be reached for {repository} ({reason}): check the network, and run the same again; what was "
        "transferred is kept"
    )
