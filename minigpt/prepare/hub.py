"""Files of the Hugging Face hub: listed once, fetched one by one into its cache when their turn comes."""

import queue
import threading
from typing import NamedTuple

from minigpt.errors import DataError

PREFIX = "hf://"
DATASETS = "hf://datasets/"
NEEDS = "reading hf:// needs huggingface_hub, which is not installed: pip install 'minigpt[data]'"


class Remote(NamedTuple):
    """A file on the hub, of one commit."""

    name: str
    repository: str
    commit: str
    path: str
    size: int
    id: str  # a hash of its content, by which an interrupted run knows it again


def find(pattern):
    """The files of hf://datasets/OWNER/NAME[@REVISION]/GLOB in the order of their names, at one commit."""
    if not pattern.startswith(DATASETS) or pattern.count("/") < 5:
        raise DataError(
            f"{pattern}: expected hf://datasets/OWNER/NAME/FILES, such as "
            "'hf://datasets/HuggingFaceFW/fineweb/sample/10BT/*.parquet'"
        )
    try:
        from huggingface_hub import HfApi, HfFileSystem
    except ImportError:
        raise DataError(NEEDS) from None
    try:
        files = HfFileSystem()
        place = files.resolve_path(pattern.removeprefix(PREFIX))
        commit = HfApi().dataset_info(place.repo_id, revision=place.revision).sha
        root = f"datasets/{place.repo_id}@{commit}/"
        found = files.glob(root + place.path_in_repo, detail=True)
    except Exception as reason:  # of many kinds: of the hub, of HTTP, of the network
        raise unreachable(pattern, reason) from None
    # with the revision as it was given: two commits with the same files make the same manifest
    shown = pattern.removesuffix(place.path_in_repo)
    remotes = [
        Remote(shown + path, place.repo_id, commit, path, info["size"], content_hash(info))
        for path, info in sorted((name.removeprefix(root), info) for name, info in found.items())
        if info["type"] == "file"
    ]
    if not remotes:
        raise DataError(f"{pattern}: expected files, found none that match; look at the files on the hub")
    return remotes


def content_hash(info):
    """The hash by which the hub knows a file's content: a SHA-256 for large files, git's for small ones."""
    return info["lfs"]["sha256"] if info.get("lfs") else info["blob_id"]


def unreachable(name, reason):
    """The DataError for what the hub, or the way to it, did not give."""
    line = " ".join(f"{type(reason).__name__}: {reason}".split())
    return DataError(
        f"{name}: not to be had from the hub: {line}; check the name, the connection, and `hf auth login`; "
        "the same command goes on"
    )


def fetch(remote):
    """The path of a file in the hub's cache, fetched if it is not there yet; what is half there goes on."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()  # ours is on the screen
    try:
        return hf_hub_download(remote.repository, remote.path, repo_type="dataset", revision=remote.commit)
    except Exception as reason:
        raise unreachable(remote.name, reason) from None


def ahead(remotes, wait):
    """The paths of remote files in order; the next one is fetched while the last one is read.

    wait(attempt) calls attempt(seconds) until it does not return None, and looks for Ctrl-C in between.
    """
    ready = queue.Queue(maxsize=1)

    def fetch_all():
        for remote in remotes:
            try:
                ready.put((fetch(remote), None))
            except DataError as error:
                ready.put((None, error))
                return

    def attempt(seconds):
        try:
            return ready.get(timeout=seconds)
        except queue.Empty:
            return None

    # a daemon: whoever stops the run does not wait for a file of gigabytes
    threading.Thread(target=fetch_all, daemon=True).start()
    for _ in remotes:
        path, error = wait(attempt)
        if error:
            raise error
        yield path
