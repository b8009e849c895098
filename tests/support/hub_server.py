"""
A Hugging Face Hub on loopback, in memory, for the real client: ``with loopback_hub() as hub:``.

``Hub`` is what a Hub knows: accounts, repositories, commits, files. Below it is HTTP, one short function for each
address, and at the end the environment that sends the client here and nowhere else.
"""

from __future__ import annotations

import base64
import json
import os
import re
import runpy
import secrets
import sys
import tempfile
from codecs import getincrementaldecoder
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cached_property
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from huggingface_hub import close_session, constants
from huggingface_hub.hf_api import api

# The Hub's own list for new models, and mp4
LFS_PATTERNS = """
*.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lfs.* *.mlmodel *.model *.mp4 *.msgpack *.npy *.npz *.onnx
*.ot *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors saved_model/**/* *.tar.* *.tar *.tflite *.tgz *.wasm
*.xz *.zip *.zst *tfevents*
""".split()
GITATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS).encode()
LARGEST_IN_GIT = 10 * 2**20


class Refusal(Exception):
    """
    :param status: of HTTP
    :param message: one sentence
    :param code: ``X-Error-Code``, by which the client picks its exception
    :param headers: more of them
    """

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **headers}


@dataclass(frozen=True)
class File:
    """
    :param content: of the file
    :param lfs: whether git holds only a pointer to it
    :param served: what a download gets instead
    """

    content: bytes
    lfs: bool = False
    served: bytes | None = None

    @cached_property
    def sha256(self) -> str:
        """Of the content, by which LFS knows it."""
        return sha256(self.content).hexdigest()

    @cached_property
    def in_git(self) -> bytes:
        """The content, or the pointer to it."""
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        return pointer.encode() if self.lfs else self.content

    @cached_property
    def blob_id(self) -> str:
        """By which git knows it."""
        return sha1(b"blob %d\0" % len(self.in_git) + self.in_git).hexdigest()

    @property
    def etag(self) -> str:
        """By which the client's cache knows it."""
        return self.sha256 if self.lfs else self.blob_id


@dataclass(frozen=True)
class Commit:
    """
    :param title: first line of its message
    :param files: all files of the repository, by path
    """

    title: str
    files: dict[str, File]
    oid: str = field(default_factory=lambda: secrets.token_hex(20))
    date: datetime = field(default_factory=lambda: datetime.now(UTC))


class Repository:
    """
    :param id: "owner/name"
    :param private: whether only the owner sees it
    """

    def __init__(self, id: str, private: bool = False) -> None:
        self.id = id
        self.private = private
        first = Commit("initial commit", {".gitattributes": File(GITATTRIBUTES)})
        self.commits = {first.oid: first}  # of all branches, oldest first
        self.branches = {"main": first.oid}
        self.objects: dict[str, bytes] = {}  # LFS, by sha256

    def at(self, revision: str = "main") -> Commit:
        """:param revision: a branch or the oid of a commit"""
        oid = self.branches.get(revision, revision)
        if oid not in self.commits:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oid]

    def file(self, path: str, revision: str = "main") -> File:
        """:raises Refusal: there is none"""
        commit = self.at(revision)
        if path not in commit.files:
            raise Refusal(404, f"{path} does not exist on {revision}", "EntryNotFound", **{"X-Repo-Commit": commit.oid})
        return commit.files[path]

    def wants_lfs(self, path: str, size: int, sample: bytes, revision: str = "main") -> bool:
        """By .gitattributes, and whatever is large or binary; empty files never."""
        attributes = self.at(revision).files.get(".gitattributes", File(b"")).content.decode(errors="replace")
        patterns = [line.split()[0] for line in attributes.splitlines() if "filter=lfs" in line.split()]
        named = any(fnmatchcase(path if "/" in p else path.split("/")[-1], p.replace("**/", "")) for p in patterns)
        return size > 0 and (named or size > LARGEST_IN_GIT or is_binary(sample))

    def commit(self, title: str, changes: Mapping[str, File | None], branch: str = "main") -> Commit:
        """:param changes: by path; None deletes"""
        if branch not in self.branches:
            raise Refusal(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        files = {**self.at(branch).files, **changes}
        commit = Commit(title, {path: file for path, file in sorted(files.items()) if file is not None})
        self.commits[commit.oid] = commit
        self.objects.update({file.sha256: file.content for file in commit.files.values() if file.lfs})
        self.branches[branch] = commit.oid
        return commit


def is_binary(sample: bytes) -> bool:
    """Whether the start of a file is no text; its last character may be cut."""
    try:
        return "\0" in getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return True


@dataclass(frozen=True)
class Account:
    """
    :param name: of a person
    :param organizations: that the person may write to
    """

    name: str
    organizations: tuple[str, ...] = ()

    def owns(self, repo_id: str) -> bool:
        """Whether the person may see it while it is private, and write to it."""
        return repo_id.split("/")[0] in (self.name, *self.organizations)


class Hub:
    """
    :param name: of the person whose token the client has
    :param organizations: that this person may write to
    """

    def __init__(self, name: str, organizations: tuple[str, ...]) -> None:
        self.endpoint = ""  # known once it is served
        self.accounts: dict[str, Account] = {}  # by token
        self.repositories: dict[str, Repository] = {}
        self.uploads: dict[str, tuple[Repository, str, int]] = {}  # ticket -> where to, sha256, size
        self.downloads: Counter[tuple[str, str]] = Counter()  # (repo_id, path) -> how often its content was sent
        self.strays: list[str] = []  # hosts that somebody wanted to reach instead, and did not
        self.lock = Lock()
        self.token = self.sign_up(name, *organizations)

    # What a test does and sees behind the client's back

    def sign_up(self, name: str, *organizations: str) -> str:
        """:return: the token of a new account"""
        token = f"hf_{secrets.token_hex(16)}"
        self.accounts[token] = Account(name, organizations)
        return token

    def put(self, repo_id: str, files: Mapping[str, bytes], private: bool = False) -> Commit:
        """Commit without asking; what does not exist is made."""
        with self.lock:
            repository = self.repositories.setdefault(repo_id, Repository(repo_id, private))
            lfs = {path: repository.wants_lfs(path, len(content), content[:512]) for path, content in files.items()}
            return repository.commit("put", {path: File(content, lfs[path]) for path, content in files.items()})

    def tamper(self, repo_id: str, path: str, content: bytes) -> None:
        """
        Until ``path`` changes, a download gets ``content`` under the ETag and size of the true one. A client that has
        the true one in its cache will not ask again.
        """
        with self.lock:
            files = self.repositories[repo_id].at().files
            files[path] = replace(files[path], served=content)

    def lfs_paths(self, repo_id: str, revision: str = "main") -> set[str]:
        """What came by LFS."""
        return {path for path, file in self.repositories[repo_id].at(revision).files.items() if file.lfs}

    # What the client asks for

    def account(self, token: str | None) -> Account | None:
        """Who asks; None for a stranger."""
        if token is not None and token not in self.accounts:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return None if token is None else self.accounts[token]

    def find(self, repo_id: str, account: Account | None, write: bool = False) -> Repository:
        """:param write: whether ``account`` wants to change it"""
        repository = self.repositories.get(repo_id)
        if account is None and (repository is None or repository.private or write):
            raise Refusal(401, "Invalid username or password.", "RepoNotFound")  # strangers learn nothing
        if repository is None or not self.shows(repository, account):
            raise Refusal(404, "Repository not found", "RepoNotFound")
        if write and account is not None and not account.owns(repo_id):
            raise Refusal(403, f"You have no write access to {repo_id}")
        return repository

    def shows(self, repository: Repository, account: Account | None) -> bool:
        """Whether ``account`` may see it."""
        return not repository.private or (account is not None and account.owns(repository.id))

    def accept(self, ticket: str, content: bytes) -> None:
        """Take an LFS object, if it is the one that was announced."""
        if ticket not in self.uploads:
            raise Refusal(403, "This upload was not announced")
        repository, oid, size = self.uploads[ticket]
        if len(content) != size or sha256(content).hexdigest() != oid:
            raise Refusal(400, f"The object does not have the announced sha256 {oid} and size {size}")
        repository.objects[oid] = content
        del self.uploads[ticket]


# --- HTTP -------------------------------------------------------------------------------------------------------------


@dataclass
class Answer:
    """
    :param body: bytes, or something for JSON
    :param status: of HTTP
    :param headers: besides the content's length and type
    """

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Call:
    """A request, and who asks."""

    hub: Hub
    method: str
    account: Account | None
    query: Mapping[str, list[str]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def person(self) -> Account:
        """Who asks, if not a stranger."""
        if self.account is None:
            raise Refusal(401, "Invalid username or password.")
        return self.account


Route = Callable[..., Any]
ROUTES: list[tuple[str, re.Pattern[str], bool, Route]] = []
NAMES = {"repo": r"[^/]+(?:/[^/]+)?", "path": ".+"}


def route(method: str, template: str, write: bool = False) -> Callable[[Route], Route]:
    """``{repo}`` arrives as a ``Repository`` that the caller may read, or write; other names as text."""
    pattern = re.sub(r"{(\w+)}", lambda m: f"(?P<{m[1]}>{NAMES.get(m[1], '[^/]+')})", template.replace(".", r"\."))

    def add(function: Route) -> Route:
        ROUTES.append((method, re.compile(pattern), write, function))
        return function

    return add


def dispatch(call: Call, path: str) -> Answer:
    """:param path: as it was sent, still quoted"""
    for method, pattern, write, function in ROUTES:
        if (match := pattern.fullmatch(path)) and method == call.method.replace("HEAD", "GET"):
            names: dict[str, Any] = {name: unquote(value) for name, value in match.groupdict().items()}
            if "repo" in names:
                names["repo"] = call.hub.find(names["repo"], call.account, write)
            answer = function(call, **names)
            return answer if isinstance(answer, Answer) else Answer(answer)
    raise Refusal(501, f"The loopback Hub does not know {call.method} {path}")


@route("GET", "/api/agent-harnesses")
def agent_harnesses(call: Call) -> Any:
    return {"standardEnvVars": [], "harnesses": {}}


@route("GET", "/api/whoami-v2")
def whoami(call: Call) -> Any:
    organizations = [{"type": "org", "name": name} for name in call.person.organizations]
    token = {"type": "access_token", "accessToken": {"displayName": "test", "role": "write"}}
    return {"type": "user", "name": call.person.name, "orgs": organizations, "auth": token}


def card_data(card: bytes) -> dict[str, Any]:
    """The metadata at the top of a model card."""
    match = re.match(r"---\r?\n(.*?)\r?\n---", card.decode(), re.DOTALL)
    return (yaml.safe_load(match[1]) or {}) if match else {}


@route("POST", "/api/validate-yaml")
def validate_yaml(call: Call) -> Any:
    try:
        data = card_data(call.json["content"].encode())
    except yaml.YAMLError as error:
        return Answer({"errors": [{"message": str(error)}]}, 400)
    return {"errors": [], "warnings": [] if data else [{"message": "empty or missing yaml metadata in repo card"}]}


@route("POST", "/api/repos/create")
def create(call: Call) -> Any:
    wish = call.json
    if wish.get("type", "model") != "model":
        raise Refusal(501, "The loopback Hub knows only models")
    repo_id = f"{wish['organization'] or call.person.name}/{wish['name']}"
    place = {"url": f"{call.hub.endpoint}/{repo_id}", "name": repo_id}
    if not call.person.owns(repo_id):
        raise Refusal(403, f"You don't have the rights to create a model under the namespace of {repo_id}")
    if repo_id in call.hub.repositories:
        return Answer({"error": "You already created this model repo", **place}, 409)
    call.hub.repositories[repo_id] = Repository(repo_id, wish.get("visibility") == "private")
    return place


@route("DELETE", "/api/repos/delete")
def delete(call: Call) -> Any:
    repo_id = f"{call.json['organization'] or call.person.name}/{call.json['name']}"
    del call.hub.repositories[call.hub.find(repo_id, call.account, write=True).id]
    return {}


def described(path: str, file: File) -> dict[str, Any]:
    """As a tree lists a file, and as a model's siblings do, which use other names."""
    lfs = {"oid": file.sha256, "sha256": file.sha256, "size": len(file.content), "pointerSize": len(file.in_git)}
    size = {"size": len(file.content), "oid": file.blob_id, "blobId": file.blob_id}
    return {"type": "file", "path": path, "rfilename": path, **size, **({"lfs": lfs} if file.lfs else {})}


def card_of(commit: Commit) -> dict[str, Any]:
    """What a commit's model card says; nothing if it cannot be read."""
    try:
        data = card_data(commit.files["README.md"].content)
    except (KeyError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return data if isinstance(data, dict) else {}


@route("GET", "/api/models/{repo}")
@route("GET", "/api/models/{repo}/revision/{revision}")
def model_info(call: Call, repo: Repository, revision: str = "main") -> Any:
    commit = repo.at(revision)
    card = card_of(commit)
    return {
        **{"id": repo.id, "author": repo.id.split("/")[0], "private": repo.private, "gated": False, "disabled": False},
        **{"sha": commit.oid, "lastModified": f"{commit.date:%Y-%m-%dT%H:%M:%S.000Z}"},
        **{"cardData": card, "tags": card.get("tags") or [], "library_name": card.get("library_name")},
        **{"downloads": sum(n for (id, _), n in call.hub.downloads.items() if id == repo.id), "likes": 0},
        "siblings": [described(path, file) for path, file in commit.files.items()],
    }


@route("GET", "/api/models")
def list_models(call: Call) -> Any:
    author, search, tags = call.query.get("author"), call.query.get("search", [""])[0], call.query.get("filter", [])
    infos = [model_info(call, each) for each in call.hub.repositories.values() if call.hub.shows(each, call.account)]
    found = [info for info in infos if search.lower() in info["id"].lower() and {*tags} <= {*info["tags"]}]
    return [info for info in found if author in (None, [info["author"]])]


@route("GET", "/api/models/{repo}/refs")
def refs(call: Call, repo: Repository) -> Any:
    branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": oid} for n, oid in repo.branches.items()]
    return {"branches": branches, "converts": [], "tags": [], "pullRequests": []}


@route("POST", "/api/models/{repo}/branch/{branch}", write=True)
def create_branch(call: Call, repo: Repository, branch: str) -> Any:
    if branch in repo.branches:
        raise Refusal(409, f"Reference already exists: {branch}")
    repo.branches[branch] = repo.at(call.json.get("startingPoint", "main")).oid
    return {}


def entries(files: Mapping[str, File]) -> Iterator[dict[str, Any]]:
    """Folders and files, each once."""
    folders = {path[: cut.start()] for path in files for cut in re.finditer("/", path)}
    for path in sorted(folders):
        yield {"type": "directory", "path": path, "oid": sha1(path.encode()).hexdigest(), "size": 0}
    yield from (described(path, file) for path, file in files.items())


@route("GET", "/api/models/{repo}/tree/{revision}")
@route("GET", "/api/models/{repo}/tree/{revision}/{path}")
def tree(call: Call, repo: Repository, revision: str, path: str = "") -> Any:
    folder = f"{path}/" if path else ""
    inside = [entry for entry in entries(repo.at(revision).files) if entry["path"].startswith(folder)]
    if not inside:
        repo.file(path, revision)  # refuses
    recursive = call.query.get("recursive", ["false"])[0].lower() == "true"
    return [entry for entry in inside if recursive or "/" not in entry["path"].removeprefix(folder)]


@route("POST", "/api/models/{repo}/paths-info/{revision}")
def paths_info(call: Call, repo: Repository, revision: str) -> Any:
    paths = parse_qs(call.body.decode())["paths"]
    return [entry for entry in entries(repo.at(revision).files) if entry["path"] in paths]


@route("POST", "/api/models/{repo}/preupload/{revision}", write=True)
def preupload(call: Call, repo: Repository, revision: str) -> Any:
    def plan(path: str, size: int, sample: str) -> dict[str, Any]:
        lfs = repo.wants_lfs(path, size, base64.b64decode(sample), revision)
        there = repo.at(revision).files.get(path)
        known = {"oid": there.etag} if there else {}  # the client leaves out what has not changed
        return {"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False, **known}

    return {"files": [plan(**file) for file in call.json["files"]]}


@route("POST", "/{repo}.git/info/lfs/objects/batch", write=True)
def announce(call: Call, repo: Repository) -> Any:
    """Tickets, because the client sends objects without its token: on the Hub, they go to another host."""

    def plan(oid: str, size: int) -> dict[str, Any]:
        if oid in repo.objects:
            return {"oid": oid, "size": size}  # no actions: the client sends nothing
        ticket = secrets.token_hex(16)
        call.hub.uploads[ticket] = (repo, oid, size)
        upload, verify = f"{call.hub.endpoint}/upload/{ticket}", f"{call.hub.endpoint}/api/models/{repo.id}/verify"
        return {"oid": oid, "size": size, "actions": {"upload": {"href": upload}, "verify": {"href": verify}}}

    return {"transfer": "basic", "objects": [plan(**each) for each in call.json["objects"]]}


@route("PUT", "/upload/{ticket}")
def upload(call: Call, ticket: str) -> Any:
    call.hub.accept(ticket, call.body)


def lfs_object(repo: Repository, oid: str, size: int | None) -> bytes:
    """What was uploaded; a copy of a file comes without its size."""
    content = repo.objects.get(oid)
    if content is None or size not in (None, len(content)):
        raise Refusal(400, f"No LFS object with sha256 {oid} and size {size} was uploaded")
    return content


@route("POST", "/api/models/{repo}/verify", write=True)
def verify(call: Call, repo: Repository) -> Any:
    lfs_object(repo, call.json["oid"], call.json["size"])
    return {}


@route("POST", "/api/models/{repo}/commit/{revision}", write=True)
def commit(call: Call, repo: Repository, revision: str) -> Any:
    lines = [json.loads(line) for line in call.body.splitlines()]
    header = lines[0]["value"]
    if "create_pr" in call.query:
        raise Refusal(501, "The loopback Hub does not know pull requests")
    if header.get("parentCommit", repo.at(revision).oid) != repo.at(revision).oid:
        raise Refusal(412, "A commit has happened since. Please refresh and try again.")
    changes = dict(change for line in lines[1:] for change in changes_of(repo, revision, line["key"], line["value"]))
    made = repo.commit(header["summary"], changes, revision)
    url = f"{call.hub.endpoint}/{repo.id}/commit/{made.oid}"
    return {"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""}


def changes_of(repo: Repository, revision: str, key: str, value: Any) -> Iterable[tuple[str, File | None]]:
    """:param key: what a line of the commit does"""
    path = value["path"]
    if key == "file":
        content = base64.b64decode(value["content"])
        if repo.wants_lfs(path, len(content), content[:512], revision):
            raise Refusal(400, f"Your push was rejected because {path} must be stored by LFS")
        return [(path, File(content))]
    if key == "lfsFile":
        return [(path, File(lfs_object(repo, value["oid"], value.get("size")), lfs=True))]
    if key == "deletedFile":
        repo.file(path, revision)  # refuses what is not there
        return [(path, None)]
    if key == "deletedFolder":
        return [(each, None) for each in repo.at(revision).files if each.startswith(path.rstrip("/") + "/")]
    raise Refusal(501, f"The loopback Hub does not know {key} in a commit")


@route("GET", "/{repo}/resolve/{revision}/{path}")
def resolve(call: Call, repo: Repository, revision: str, path: str) -> Answer:
    file = repo.file(path, revision)
    headers = {"X-Repo-Commit": repo.at(revision).oid, "ETag": f'"{file.etag}"', "Content-Type": "binary/octet-stream"}
    if file.lfs:
        headers.update({"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(len(file.content))})
    if call.method == "HEAD":
        return Answer(file.content, headers=headers)
    call.hub.downloads[repo.id, path] += 1
    return Answer(file.content if file.served is None else file.served, headers=headers)


class Server(ThreadingHTTPServer):
    """:param hub: to serve"""

    request_queue_size = 64  # the client downloads a snapshot in many threads

    def __init__(self, hub: Hub) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub = hub
        hub.endpoint = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """From HTTP to ``Call``, and from ``Answer`` to HTTP."""

    server: Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet, or each answer waits 40 ms for Nagle

    def handle_call(self) -> None:
        """Whatever the method."""
        body = self.read_body()
        try:
            answer = self.answer(body)
        except Refusal as refusal:
            answer = Answer({"error": str(refusal)}, refusal.status, refusal.headers)
        except Exception as error:  # 501, because the client would try again after 500
            answer = Answer({"error": f"The loopback Hub failed: {error!r}"}, 501)
        self.send(answer)

    def answer(self, body: bytes) -> Answer:
        """:param body: of the request"""
        hub, bearer, url = self.server.hub, self.headers.get("Authorization"), urlsplit(self.path)
        with hub.lock:
            if not self.path.startswith("/"):  # as to a proxy
                hub.strays.append(self.path)
                raise Refusal(403, f"Nothing but the loopback Hub may be reached, and this is {self.path}")
            account = hub.account(bearer.removeprefix("Bearer ") if bearer else None)
            return dispatch(Call(hub, self.command, account, parse_qs(url.query), body), url.path)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_CONNECT = handle_call

    def read_body(self) -> bytes:
        """Whole or in chunks, as the client sends files that it cannot measure."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def send(self, answer: Answer) -> None:
        """All of it, or without the body where none was asked for."""
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body, default=str).encode()
        self.send_response(answer.status)
        headers = {"Content-Type": "application/json", **answer.headers, "Content-Length": str(len(body))}
        for name, value in headers.items():
            self.send_header(name, " ".join(value.split()).encode("ascii", "replace").decode())
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests have enough to say."""


# --- The client -------------------------------------------------------------------------------------------------------


@contextmanager
def loopback_hub(name: str = "tester", organizations: tuple[str, ...] = ("zoo",)) -> Iterator[Hub]:
    """
    A Hub that this process and its children speak to as if it were the real one, with the token of ``name`` and an
    empty cache. It is their proxy too, and refuses: whoever wants to reach another host ends up in ``strays``.

    :param name: of the person whose token the client has
    :param organizations: that this person may write to
    """
    hub = Hub(name, organizations)
    with tempfile.TemporaryDirectory() as home, Server(hub) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            with client_environment(environment(hub, home)):
                yield hub
        finally:
            server.shutdown()


@contextmanager
def signed_in(token: str | None) -> Iterator[None]:
    """
    As somebody else. The fixture ``monkeypatch`` would put the token back after ``loopback_hub`` has cleaned up.

    :param token: from ``Hub.sign_up``; None for a stranger
    """
    with patch.dict(os.environ, {"HF_TOKEN": token or ""}):
        yield


def environment(hub: Hub, home: str) -> dict[str, str]:
    """All that the client needs; another process needs no more."""
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), hub.endpoint) | {"no_proxy": "127.0.0.1"}
    return {
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": hub.token,
        "HF_HOME": home,
        "HF_HUB_CACHE": os.path.join(home, "hub"),
        "HF_HUB_DISABLE_XET": "1",  # else files go by another protocol, to servers that are not here
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        **proxies,
        **{name.upper(): value for name, value in proxies.items()},
    }


@contextmanager
def client_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """
    Set variables, and no others that concern the client. It reads most of them once, as it is imported, and keeps them
    in constants.
    """
    endpoint = api.endpoint
    with patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))]:
            del os.environ[name]
        os.environ.update(variables)
        changed, old, new = read_environment()
        try:
            yield
        finally:
            swap_constants(changed, new, old)
            api.endpoint = endpoint


def read_environment() -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """
    Let the client, which is imported already, follow the environment variables as they are now.

    :return: names of the constants that changed, and all constants before and after
    """
    old, new = dict(vars(constants)), runpy.run_path(constants.__file__)
    changed = [name for name in old if name.isupper() and old[name] != new[name]]
    swap_constants(changed, old, new)
    api.endpoint = constants.ENDPOINT
    return changed, old, new


def swap_constants(names: Iterable[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """In all modules of the client, since some have copied them."""
    for module in [module for name, module in sys.modules.items() if name.split(".")[0] == "huggingface_hub"]:
        for name in names:
            if name in vars(module) and vars(module)[name] == old[name]:
                setattr(module, name, new[name])
    close_session()  # a session keeps its proxies
