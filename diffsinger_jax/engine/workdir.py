"""Where a run keeps what it makes: a folder, or one in a Google Cloud Storage bucket.

Checkpoints go to the bucket by themselves. For all else a folder of this machine stands in: what
an earlier start left is fetched into it, all reads and writes are there, and the first process
copies to the bucket what has changed. Without a bucket nothing is copied at all.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import fsspec
from etils import epath

from diffsinger_jax.engine.hosts import is_primary, log_primary
from diffsinger_jax.errors import InputError, first_line

SCHEME = "gs"
CHECKPOINTS = "checkpoints"


class Workdir:
    """Of one run; its text is what the user called it.

    Attributes:
      folder: on this machine, for everything but the checkpoints.
      checkpoints: those of each stage are in a folder of its name.
    """

    def __init__(self, folder: Path, mirror: Mirror | None = None):
        """Is `folder` itself, or what `mirror` is kept like."""
        self.folder, self._mirror = folder, mirror
        self._name = mirror.url if mirror else str(folder)
        self.checkpoints = epath.Path(self._name) / CHECKPOINTS

    def __str__(self) -> str:
        """The folder or the bucket's."""
        return self._name

    def copy(self) -> None:
        """Returns once all that was written is in the bucket, if there is one.

        Raises:
          InputError: if the bucket does not take it.
        """
        if self._mirror and is_primary():
            self._mirror.copy()

    def copy_soon(self) -> None:
        """Has it copied while training goes on; a failure is said, and tried again next time."""
        if self._mirror and is_primary():
            self._mirror.copy_soon()


@contextlib.contextmanager
def open_workdir(given: str | Path) -> Iterator[Workdir]:
    """A workdir, for as long as the run lasts; at the end what was written is in its place.

    Args:
      given: a folder, or gs://BUCKET/FOLDER.

    Raises:
      InputError: if the bucket cannot be read.
    """
    scheme, separator, path = str(given).partition("://")
    if not separator:
        yield Workdir(Path(given).absolute())
        return
    path = path.strip("/")
    if scheme != SCHEME or "/" not in path:
        raise InputError(
            f"--workdir {given} is neither a folder nor {SCHEME}://BUCKET/FOLDER; mount other "
            "buckets (s3fs) and give the folder where they are mounted"
        )
    with tempfile.TemporaryDirectory(prefix="diffsinger_jax_") as folder:
        mirror = Mirror(f"{SCHEME}://{path}", Path(folder))
        mirror.fetch()
        try:
            yield Workdir(Path(folder), mirror)
        finally:
            if is_primary():
                mirror.close()


class Mirror:
    """A folder in a bucket that is kept like one of this machine."""

    def __init__(self, url: str, folder: Path):
        """Copies nothing yet.

        Raises:
          InputError: if what reads buckets is not installed.
        """
        self.url, self._folder = url, folder
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # what goes wrong is said here
        # What other hosts write must be seen, and what tensorstore writes past gcsfs.
        fsspec.config.conf.setdefault("gcs", {})["use_listings_cache"] = False
        try:
            self._bucket, self._root = fsspec.url_to_fs(url)
        except ImportError as error:
            raise InputError(
                f"--workdir {url} needs gcsfs, which is not installed; "
                "pip install gcsfs google-cloud-storage"
            ) from error
        self._stamps: dict[Path, tuple[int, int]] = {}  # of what is in the bucket as it is here
        self._thread = ThreadPoolExecutor(1)  # one copy after the other
        self._copying: Future | None = None
        self._lacking = False

    def fetch(self) -> None:
        """Brings what lies directly in the folder and beside its checkpoints.

        Raises:
          InputError: if the bucket cannot be read.
        """
        try:
            for name in ("", CHECKPOINTS):
                for file in self._files(f"{self._root}/{name}".rstrip("/")):
                    here = self._folder / name / file.rpartition("/")[2]
                    here.parent.mkdir(exist_ok=True)
                    here.write_bytes(self._bucket.cat_file(file))
                    self._stamps[here] = _stamp(here)
        except Exception as error:  # of gcsfs, aiohttp, google.auth or the disk
            raise InputError(
                f"cannot read --workdir {self.url} ({first_line(error)}); expected "
                f"{SCHEME}://BUCKET/FOLDER that this machine may read and write (gcloud auth "
                "application-default login)"
            ) from error

    def _files(self, folder: str) -> list[str]:
        try:
            entries = self._bucket.ls(folder, detail=True)
        except FileNotFoundError:  # nothing there yet
            return []
        return [entry["name"] for entry in entries if entry["type"] == "file"]

    def copy(self) -> None:
        """Copies what has changed, and waits for it.

        Raises:
          InputError: if the bucket does not take it.
        """
        try:
            self._thread.submit(self._copy).result()
        except Exception as error:  # as in `fetch`
            self._lacking = True
            raise InputError(
                f"cannot write to --workdir {self.url} ({_reason(error)}); see that the "
                "bucket is there and that this machine may write to it, and give the same command "
                "again"
            ) from error

    def copy_soon(self) -> None:
        """Copies it while others work; what changes meanwhile goes with the next call."""
        if self._copying is None or self._copying.done():
            self._copying = self._thread.submit(self._attempt)

    def close(self) -> None:
        """Copies what is left; no more calls after it."""
        self._thread.submit(self._attempt)
        self._thread.shutdown()

    def _attempt(self) -> None:
        try:
            self._copy()
            self._lacking = False
        except Exception as error:  # as in `fetch`
            if not self._lacking:
                log_primary(
                    f"nothing can be copied to {self.url} ({_reason(error)}); it stays to do"
                )
            self._lacking = True

    def _copy(self) -> None:
        # Names with a dot are of files that are half-written.
        stamps = {path: _stamp(path) for path in self._folder.rglob("[!.]*") if path.is_file()}
        # In the order in which they came to be: what stands for a whole folder comes last.
        for path in sorted(stamps, key=lambda path: stamps[path]):
            if self._stamps.get(path) != stamps[path]:
                name = path.relative_to(self._folder).as_posix()
                self._bucket.pipe_file(f"{self._root}/{name}", path.read_bytes())
                self._stamps[path] = stamps[path]


def _reason(error: Exception) -> str:
    """Why an object is not written."""
    return "no such bucket" if isinstance(error, FileNotFoundError) else first_line(error)


def _stamp(path: Path) -> tuple[int, int]:
    about = path.stat()
    return about.st_mtime_ns, about.st_size
