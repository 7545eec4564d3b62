"""Where data files are looked for, and how they are downloaded when they are not found.

The places, in order: the ``data`` option, the folder named by the environment variable ``NOISYSIM_DATA``, the user's
cache, and for some sets a folder of the system.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from noisysim.common.arguments import argument
from noisysim.common.fields import shown

TIMEOUT = 10.0  # seconds without an answer before a download is given up


class Source(NamedTuple):
    """The files of one data set.

    Attributes
    ----------
    task : str
    files : dict of str to str
        File name to MD5 (of the file as published; a user's own copy need not match it).
    folders : tuple of str
        Where they may be under a data folder; ``"."`` is the data folder itself.
    url : str
        What a file name is appended to; for files that are not downloaded, the page to get them from.
    system : tuple of str
        Folders of the system that may hold them.
    """

    task: str
    files: dict[str, str]
    folders: tuple[str, ...]
    url: str
    system: tuple[str, ...] = ()


def cache_folder() -> Path:
    """The folder downloads go to."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("noisysim")) / "data"


def places(source: Source, data: str | os.PathLike[str] | None = None) -> list[Path]:
    """Every folder that may hold the files of `source`, in the order they are looked at.

    Raises
    ------
    FileNotFoundError
        If `data` is given and is no folder.
    """
    if data is not None and not os.path.isdir(data):
        raise FileNotFoundError(f"task {source.task!r}: the data folder {shown(os.fspath(data))} is not there")
    roots = [Path(data)] if data is not None else []
    if os.environ.get("NOISYSIM_DATA"):
        roots.append(Path(os.environ["NOISYSIM_DATA"]))
    roots.append(cache_folder())
    return [root / folder for root in roots for folder in source.folders] + [Path(folder) for folder in source.system]


def find(folders: Iterable[Path], names: Sequence[str]) -> list[Path] | None:
    """The named files, all from the first folder that has every one; a ``.gz`` file may be there unpacked."""
    for folder in folders:
        files: list[Path] = []
        for name in names:
            paths = [folder / name, folder / name.removesuffix(".gz")]
            files += [path for path in paths if path.is_file()][:1]
        if len(files) == len(names):
            return files
    return None


def missing(source: Source, folders: Iterable[Path], why: str) -> FileNotFoundError:
    """The error for files that are not found: what was looked for, where, and what to do."""
    listed = "".join(f"\n  {folder}" for folder in dict.fromkeys(folders))
    return FileNotFoundError(
        f"task {source.task!r}: no {', '.join(source.files)} in any of{listed}\n{why}\n"
        "Put the files in one of these folders, or name the folder that has them by "
        f"{argument('data=...')} or NOISYSIM_DATA."
    )


def download(source: Source, folders: Iterable[Path]) -> list[Path]:
    """Fetch the files of `source` into the user's cache, each checked against its MD5.

    Raises
    ------
    FileNotFoundError
        If one cannot be fetched or is not what it should be.
    """
    import pooch

    fetched = []
    for name, md5 in source.files.items():
        url = source.url + name
        try:
            path = pooch.retrieve(
                url,
                known_hash=f"md5:{md5}",
                fname=name,
                path=cache_folder() / source.task,
                downloader=pooch.HTTPDownloader(timeout=TIMEOUT),
            )
        except Exception as error:  # whatever a network, a proxy or a full disk comes up with
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise missing(source, folders, f"Downloading {url} failed: {reason}") from None
        fetched.append(Path(path))
    return fetched
