"""As much of the Hugging Face hub as huggingface_hub asks for: one repository of datasets, one commit."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REVISIONS = ("main", "v1", COMMIT)


def sha1(content):
    return hashlib.sha1(content).hexdigest()


def entry(path, content):
    """A file as the hub lists it."""
    found = {"type": "file", "oid": sha1(content), "size": len(content), "path": path}
    if path.endswith(".parquet"):  # large files have a second hash
        digest = hashlib.sha256(content).hexdigest()
        found["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
    return found


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlsplit(unquote(self.path))
        self.server.asked.append(f"{self.command} {url.path}")
        api, files = f"/api/datasets/{self.server.repository}", f"/datasets/{self.server.repository}/resolve/"
        if url.path == api or url.path.startswith(f"{api}/revision/"):
            revision = url.path.rpartition("/revision/")[2] if "/revision/" in url.path else "main"
            return self.reply({"id": self.server.repository, "sha": COMMIT, "siblings": []}, revision)
        if url.path.startswith(f"{api}/tree/"):
            revision, _, folder = url.path.removeprefix(f"{api}/tree/").partition("/")
            recursive = parse_qs(url.query).get("recursive", ["false"])[0].lower() == "true"
            return self.reply(self.listing(folder, recursive), revision)
        if url.path.startswith(files):
            revision, _, path = url.path.removeprefix(files).partition("/")
            return self.send_file(path, revision)
        return self.missing("RepoNotFound")

    do_HEAD = do_GET

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        url = urlsplit(unquote(self.path))
        self.server.asked.append(f"{self.command} {url.path}")
        api = f"/api/datasets/{self.server.repository}/paths-info/"
        if not url.path.startswith(api):
            return self.missing("RepoNotFound")
        if body.startswith(b"{"):
            paths = json.loads(body)["paths"]
        else:
            paths = parse_qs(body.decode())["paths"]
        known = self.server.files
        found = [entry(path, known[path]) for path in paths if path in known]
        folders = [path for path in paths if any(name.startswith(path + "/") for name in known)]
        found += [
            {"type": "directory", "oid": sha1(path.encode()), "size": 0, "path": path} for path in folders
        ]
        return self.reply(found, url.path.removeprefix(api))

    def listing(self, folder, recursive):
        """The entries of a folder."""
        prefix, found = folder + "/" if folder else "", {}
        for path, content in self.server.files.items():
            if path.startswith(prefix):
                parts = path.removeprefix(prefix).split("/")
                for depth in range(1, len(parts) if recursive else min(2, len(parts))):
                    name = prefix + "/".join(parts[:depth])
                    found[name] = {"type": "directory", "oid": sha1(name.encode()), "size": 0, "path": name}
                if recursive or len(parts) == 1:
                    found[path] = entry(path, content)
        return list(found.values())

    def send_file(self, path, revision):
        if path not in self.server.files or path in self.server.broken:
            return self.missing("EntryNotFound")
        content = self.server.files[path]
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[start:])

    def reply(self, value, revision):
        if revision not in REVISIONS:
            return self.missing("RevisionNotFound")
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def missing(self, code):
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def serving(repository, files):
    """A server of files, path -> bytes. Its `url` is the endpoint, `asked` what it was asked for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.repository, server.files, server.asked = repository, files, []
    server.broken = set()  # files that are listed and cannot be had
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
