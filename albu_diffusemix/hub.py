"""A store that travels: pushed to the Hugging Face Hub as a data set with a card, and pulled from there."""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from albu_diffusemix.generate.exclusive_runs import refuse_other_writers
from albu_diffusemix.store import Store, StoreError
from albu_diffusemix.store.card import card_page
from albu_diffusemix.store.files import explained, load_checked
from albu_diffusemix.store.index import Index
from albu_diffusemix.store.part_files import INDEX, PARTS
from albu_diffusemix.store.readme import SCORES_PICTURE
from albu_diffusemix.store.recipe import describe_differences
from albu_diffusemix.store.remote import HUB, HubAddress, download, explained_hub, need_library, store_commit
from albu_diffusemix.store.shared_files import Contents, copies_without_rejected, look_through, shared_files
from albu_diffusemix.store.store_json import STORE_JSON
from albu_diffusemix.text import printable

__all__ = ["PushPlan", "plan_push", "pull", "push"]

_OWN = re.compile(
    r"store\.json|README\.md|scores\.png|\.gitattributes|index/merged\.idx|parts/[\w-]+\.(tar|idx)", re.ASCII
)
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


@dataclass(frozen=True)
class PushPlan:
    """What a push will do.

    Attributes:
        store: What is pushed.
        address: Where to.
        public: Whether everybody may see it.
        contents: What the store holds, without what is rejected.
        files: What is uploaded beside the card, by its name there.
        card: The text of README.md there.

    """

    store: Store
    address: HubAddress
    public: bool
    contents: Contents
    files: dict[str, Path]
    card: str

    @property
    def images(self) -> int:
        """How many counterparts."""
        return sum(self.contents.prompts.values())

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(file.stat().st_size for file in self.files.values())


def plan_push(
    path: Path, repository: str, license_name: str | None, *, public: bool = False, sources: str | None = None
) -> PushPlan:
    """Look at a store and write its card. Nothing is sent or asked.

    Args:
        path: The store's folder.
        repository: `owner/name`.
        license_name: License of the counterparts, as the Hub names it, such as "cc-by-4.0".
        public: Whether everybody may see it.
        sources: Data set that they were made from, such as `owner/name` on the Hub.

    Raises:
        ValueError: There is no such store or it is being written, it is empty, no license is given, or one of the
            arguments has another form.

    """
    if license_name is None or not _LICENSE.fullmatch(license_name):
        given = "no license is given" if license_name is None else f"{license_name!r} is not the name of a license"
        raise StoreError(
            f"{given}: add --license with the one that these images may have, such as cc-by-4.0, mit or other; the "
            "licenses of the sources and of the model decide"
        )
    address = HubAddress.of(repository)
    if repository != address.repository:
        raise StoreError(f"{repository!r} is not the name of a data set on the Hub: give owner/name")
    store = Store.open(path)
    refuse_other_writers(store.path, "wait until it has ended, then push")
    contents = look_through(store)
    if not contents.prompts:
        raise StoreError(f"{path} holds no counterparts: there is nothing to push")
    card = card_page(store, contents, f"{HUB}{repository}", license_name, sources)
    picture = store.path / SCORES_PICTURE
    files = shared_files(store, contents) | ({SCORES_PICTURE: picture} if f"({SCORES_PICTURE})" in card else {})
    return PushPlan(store, address, public, contents, files, card)


def push(plan: PushPlan) -> str:
    """Upload a store, and return its address on the Hub with the commit.

    What is rejected is left out: of parts that hold such images copies are sent, which lie in the folder for temporary
    files meanwhile. The parts go first and store.json with the card last, so that a push that did not end is never
    taken for a store; the same push again goes on and sends only what is not there.

    Raises:
        StoreError: There is no token or no network, the token does not allow it, or the data set there holds something
            else or is not as private as was asked.

    """
    need_library("push")
    from huggingface_hub import HfApi, get_token  # noqa: PLC0415  only for stores of the Hub

    if get_token() is None:
        raise StoreError("no token for the Hub: log in with `hf auth login`, or set HF_TOKEN to one that may write")
    repository, message = plan.address.repository, f"{plan.images:,} counterparts"
    with tempfile.TemporaryDirectory() as folder, explained_hub(plan.address):
        hub = HfApi()
        hub.create_repo(repository, repo_type="dataset", private=not plan.public, exist_ok=True)
        _refuse_other_contents(plan, hub, Path(folder))
        folder_path = _lay_out(plan, Path(folder))
        options: dict[str, Any] = {"repo_id": repository, "repo_type": "dataset", "folder_path": folder_path}
        hub.upload_folder(**options, allow_patterns=[f"{PARTS}/*"], commit_message=f"Parts of {message}")
        done = hub.upload_folder(**options, ignore_patterns=[f"{PARTS}/*"], commit_message=message)
    return f"{HUB}{repository}@{done.oid}"


def pull(address: HubAddress, output: Path | None) -> Path:
    """Download a store, and return where it is.

    Args:
        address: Which one.
        output: A new folder, or an empty one; it is there when all is. None downloads into the Hub's cache, where
            `hf://` finds it.

    Raises:
        StoreError: The folder is not empty; or the store cannot be downloaded, is not a store or is damaged.

    """
    if output is None:
        return Store.open(str(download(address))).path
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise StoreError(f"{output} is not empty: choose a new or an empty folder")
    need_library("pull")
    commit = store_commit(address)
    # Named after the commit, so that the same pull finds what an earlier one left, and another one does not.
    beside = output.with_name(f"{output.name}.{commit[:12]}.pulling")
    download(HubAddress(address.repository, commit), beside)
    Store.open(beside)
    with explained("write", output):
        shutil.rmtree(beside / ".cache", ignore_errors=True)
        beside.replace(output)
    return output


def _lay_out(plan: PushPlan, folder: Path) -> Path:
    """Fill a folder with the card and links to the files, since the Hub's library uploads folders."""
    staged = folder / "store"
    copies = copies_without_rejected(plan.store, plan.contents, folder / "copies")
    for name, file in {**plan.files, **copies}.items():
        link = staged / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.resolve())
    (staged / "README.md").write_text(plan.card, encoding="utf-8")
    return staged


def _refuse_other_contents(plan: PushPlan, hub: Any, folder: Path) -> None:
    """Raise StoreError if the data set on the Hub is not the place for this store."""
    repository = plan.address.repository
    info = hub.dataset_info(repository, files_metadata=True)
    if plan.public == bool(info.private):
        state, advice = ("private", "leave --public out") if plan.public else ("public", "add --public")
        raise StoreError(f"{repository} is {state} already: {advice}, or change that in its settings")
    there = {file.rfilename: file.lfs for file in info.siblings or []}
    foreign = sorted(name for name in there if not _OWN.fullmatch(name))
    if foreign:
        raise StoreError(f"{repository} holds {printable(foreign[0])!r}, which no store has: choose another name")

    def fetched(name: str) -> Path:
        return Path(hub.hf_hub_download(repository, name, repo_type="dataset", local_dir=folder / "there"))

    if STORE_JSON in there:
        _refuse_other_recipe(plan, fetched(STORE_JSON))
    for name in sorted(name for name in there if name.startswith(f"{PARTS}/")):
        if _is_contained(name, there[name], plan, fetched):
            continue
        raise StoreError(
            f"{repository} holds in {name} what {plan.store.path} does not: it is a later state of this store, or "
            "another one; pull it and go on from there, or choose another name"
        )


def _is_contained(name: str, lfs: Any, plan: PushPlan, fetched: Callable[[str], Path]) -> bool:
    """Return whether the store has all counterparts that a file there holds or indexes."""
    ours = plan.files.get(name)
    if ours is None or not name.endswith(INDEX):
        return ours is not None
    if lfs is not None and lfs.sha256 == hashlib.sha256(ours.read_bytes()).hexdigest():
        return True
    return _counterparts(fetched(name)) <= _counterparts(ours)


def _counterparts(index: Path) -> set[tuple[Any, ...]]:
    records = Index.open(index, whole=True).records()
    return {(*record[:-1], record.location.check) for record in records if not record.failed}


def _refuse_other_recipe(plan: PushPlan, there: Path) -> None:
    recipe = load_checked(there.read_bytes(), f"{STORE_JSON} of {plan.address.repository}")["recipe"]
    differences = describe_differences(recipe, plan.store.recipe.to_json())
    if differences:
        raise StoreError(
            f"{plan.address.repository} holds a store that was made with other parameters ({differences}): choose "
            "another name"
        )
