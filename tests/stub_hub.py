"""A Hugging Face hub on this machine: the endpoints that uploading and downloading a model use, with branches, commits and LFS."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

LFS_ENDS = (".safetensors", ".bin")


class StubHub:
    """Repositories by name: commits (id -> files) and branches (name -> commit). requests: what was asked, in order."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, dict[str, str]] = {}
        self.lfs: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.url = ""

    def commit(self, repository: str, branch: str, files: dict[str, bytes]) -> str:
        """A new commit of a branch with these files; returns its id."""
        listing = repr((len(self.commits), sorted((name, digest(data)) for name, data in files.items())))
        name = hashlib.sha1(listing.encode()).hexdigest()
        self.commits[name] = dict(files)
        self.branches[repository][branch] = name
        return name

    def files(self, repository: str, revision: str = "main") -> dict[str, bytes]:
        return self.commits[self.branches[repository].get(revision, revision)]

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and content of the answer to a request."""
        self.requests.append(f"{method} {path}")
        parts = path.strip("/").split("/")
        if path == "/api/repos/create":
            given = json.loads(body)
            name = f"{given['organization']}/{given['name']}"
            if name in self.branches:
                answer = {"error": "You already created this model repo", "url": f"{self.url}/{name}"}
                return as_json(answer, 409)
            self.branches[name] = {}
            self.commit(name, "main", {".gitattributes": b"*.safetensors filter=lfs\n"})
            return as_json({"url": f"{self.url}/{name}", "id": name})
        if path == "/api/validate-yaml":
            return as_json({"errors": [], "warnings": []})
        if parts[0] == "lfs":
            self.lfs[parts[1]] = body
            return 200, {}, b""
        if path.endswith(".git/info/lfs/objects/batch"):
            return as_json({"transfer": "basic", "objects": [self._upload(one) for one in json.loads(body)["objects"]]})
        api = parts[:2] == ["api", "models"]
        name = "/".join(parts[2:4] if api else parts[:2])
        if name not in self.branches:
            return as_json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        what, rest = (parts[4:5], parts[5:]) if api else (parts[2:3], parts[3:])
        if what == ["branch"]:
            if rest[0] in self.branches[name]:
                return as_json({"error": "Reference already exists"}, 409)
            self.branches[name][rest[0]] = self.branches[name]["main"]
            return as_json({})
        revision = unquote(rest[0]) if rest else "main"
        sha = self.branches[name].get(revision, revision)
        if sha not in self.commits:
            return as_json({"error": "Invalid rev id"}, 404, {"X-Error-Code": "RevisionNotFound"})
        if what == ["commit"]:
            return self._commit(name, revision, [json.loads(line) for line in body.splitlines()])
        if what == ["preupload"]:
            asked = json.loads(body)["files"]
            modes = [{"path": one["path"], "uploadMode": mode(one["path"]), "shouldIgnore": False} for one in asked]
            return as_json({"files": modes})
        if what == ["tree"]:
            return as_json([entry(path, data) for path, data in self.commits[sha].items()])
        if what == ["resolve"]:
            return self._file(sha, "/".join(rest[1:]))
        return as_json({"id": name, "sha": sha, "siblings": [{"rfilename": path} for path in self.commits[sha]]})

    def _upload(self, one: dict[str, Any]) -> dict[str, Any]:
        return {**one, "actions": {"upload": {"href": f"{self.url}/lfs/{one['oid']}"}}}

    def _commit(self, name: str, branch: str, lines: list[dict[str, Any]]) -> tuple[int, dict[str, str], bytes]:
        files = dict(self.files(name, branch))
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                assert digest(self.lfs[value["oid"]]) == value["oid"]
                files[value["path"]] = self.lfs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        sha = self.commit(name, branch, files)
        return as_json({"success": True, "commitOid": sha, "commitUrl": f"{self.url}/{name}/commit/{sha}"})

    def _file(self, sha: str, path: str) -> tuple[int, dict[str, str], bytes]:
        if path not in self.commits[sha]:
            return as_json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
        data = self.commits[sha][path]
        return 200, {"ETag": f'"{entry(path, data)["oid"]}"', "X-Repo-Commit": sha}, data


@contextmanager
def stub_hub() -> Iterator[StubHub]:
    """A hub that answers at its url until the end of the block."""
    hub = StubHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, content = hub.answer(self.command, urlsplit(self.path).path, body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = _answer  # noqa: N815 - names of the library

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def mode(path: str) -> str:
    return "lfs" if path.endswith(LFS_ENDS) else "regular"


def entry(path: str, data: bytes) -> dict[str, Any]:
    """A file as the hub lists it."""
    found: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": digest(data)[:40]}
    if mode(path) == "lfs":
        found["oid"] = digest(data)
        found["lfs"] = {"oid": digest(data), "size": len(data), "pointerSize": 130}
    return found


def as_json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    message = {"X-Error-Message": value["error"]} if isinstance(value, dict) and "error" in value else {}
    return status, {"Content-Type": "application/json", **message, **(headers or {})}, json.dumps(value).encode()
