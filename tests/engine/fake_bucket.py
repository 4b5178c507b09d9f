"""Buckets in memory, as gs:// for fsspec and, over HTTP on loopback, for tensorstore."""

import contextlib
import io
import itertools
import json
import sys
import threading
import types
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import fsspec
import pytest
from etils.epath import backend
from fsspec.registry import _registry

OBJECTS: dict[str, tuple[bytes, int]] = {}
"""Content and generation of each, by bucket/path; folders are only what their names say."""
REFUSED: list[str] = []
"""What stands in the name of an object that cannot be written."""
_GENERATIONS = itertools.count(1)


def write(name, data):
    """An object is written whole, or not."""
    if any(part in name for part in REFUSED):
        raise PermissionError(f"no storage.objects.create for {name}")
    OBJECTS[name] = data, next(_GENERATIONS)


def _about(name, data):
    return {"name": name, "type": "file", "size": len(data), "crc32c": str(zlib.crc32(data))}


class _Upload(io.BytesIO):
    def __init__(self, name):
        super().__init__()
        self._name = name

    def close(self):
        if not self.closed:
            data = self.getvalue()
            super().close()
            write(self._name, data)


class FakeGcs(fsspec.AbstractFileSystem):
    """As gcsfs behaves."""

    protocol = ("gs", "gcs")

    def ls(self, path, detail=True, **_):
        path = self._strip_protocol(path)
        found = {}
        for name, (data, _) in list(OBJECTS.items()):
            if name == path:
                found[name] = _about(name, data)
            elif name.startswith(f"{path}/"):
                child = f"{path}/{name[len(path) + 1 :].split('/')[0]}"
                folder = {"name": child, "type": "directory", "size": 0}
                found[child] = _about(name, data) if child == name else folder
        if not found:
            raise FileNotFoundError(path)
        return list(found.values()) if detail else list(found)

    def _open(self, path, mode="rb", **_):
        if mode == "wb":
            return _Upload(path)
        if path not in OBJECTS:
            raise FileNotFoundError(path)
        return io.BytesIO(OBJECTS[path][0])

    def cp_file(self, path1, path2, **_):
        if path1 in OBJECTS:
            write(self._strip_protocol(path2), OBJECTS[path1][0])

    def _rm(self, path):
        OBJECTS.pop(path, None)

    def mkdir(self, path, create_parents=True, **_):
        pass

    def makedirs(self, path, exist_ok=False):
        pass


class _Server(BaseHTTPRequestHandler):
    """The few requests that tensorstore makes; all else, as for credentials, is not found."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece: waiting for the client's word between two takes 40 ms

    def log_message(self, *_):
        pass

    def _answer(self, code, body=b"", generation=None):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        if generation is not None:
            self.send_header("x-goog-generation", str(generation))
        self.end_headers()
        self.wfile.write(body)

    def _object(self):
        """Its name, data and generation."""
        _, _, path = urlsplit(self.path).path.partition("/storage/v1/b/")
        bucket, _, name = path.partition("/o/")
        return f"{bucket}/{unquote(name)}", *OBJECTS.get(f"{bucket}/{unquote(name)}", (None, 0))

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path.endswith("/o"):
            bucket = url.path.split("/")[-2]
            prefix = f"{bucket}/{parse_qs(url.query).get('prefix', [''])[0]}"
            names = sorted(name for name in list(OBJECTS) if name.startswith(prefix))
            items = [{"name": name[len(bucket) + 1 :]} for name in names]
            return self._answer(200, json.dumps({"items": items}).encode())
        _, data, generation = self._object()
        if data is None:
            return self._answer(404)
        span = self.headers.get("Range")
        if span is None:
            return self._answer(200, data, generation)
        first, last = span.removeprefix("bytes=").split("-")
        part = data[int(first) : int(last) + 1 if last else None]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        end = int(first) + len(part) - 1
        self.send_header("Content-Range", f"bytes {first}-{end}/{len(data)}")
        self.send_header("x-goog-generation", str(generation))
        self.end_headers()
        self.wfile.write(part)

    def do_POST(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        url = urlsplit(self.path)
        name = f"{url.path.split('/')[-2]}/{parse_qs(url.query)['name'][0]}"
        wanted = parse_qs(url.query).get("ifGenerationMatch")
        if wanted and int(wanted[0]) != OBJECTS.get(name, (b"", 0))[1]:
            return self._answer(412)
        try:
            write(name, data)
        except PermissionError:
            return self._answer(403)
        about = {"name": name.partition("/")[2], "generation": str(OBJECTS[name][1])}
        self._answer(200, json.dumps({**about, "size": str(len(data))}).encode())

    def do_DELETE(self):
        self._answer(404 if OBJECTS.pop(self._object()[0], None) is None else 204)


@contextlib.contextmanager
def serving():
    """gs:// is these objects. Once in a process: tensorstore keeps the first address it is told."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    address = f"127.0.0.1:{server.server_address[1]}"
    storage = types.ModuleType("google.cloud.storage")  # Orbax asks it what kind of bucket it is
    storage.Client = lambda: types.SimpleNamespace(get_bucket=lambda name: object())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORSTORE_GCS_HTTP_URL", f"http://{address}")
        patch.setenv("GCE_METADATA_ROOT", address)
        patch.setitem(sys.modules, "google.cloud.storage", storage)
        for scheme in FakeGcs.protocol:
            fsspec.register_implementation(scheme, FakeGcs, clobber=True)
        backend.fsspec_backend._get_filesystem.cache_clear()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            for scheme in FakeGcs.protocol:
                _registry.pop(scheme)
            backend.fsspec_backend._get_filesystem.cache_clear()
            fsspec.config.conf.pop("gcs", None)
