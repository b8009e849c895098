"""The Hub on loopback is one to the real client, and nothing gets past it."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
import requests
from huggingface_hub import (
    CommitOperationCopy,
    HfApi,
    ModelCard,
    constants,
    create_repo,
    get_session,
    get_token,
    hf_hub_download,
    list_repo_files,
    snapshot_download,
    upload_folder,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from tests.support.hub_server import LARGEST_IN_GIT, Hub, loopback_hub, signed_in

# httpx2 says so to the client when that uploads
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

AGENT = "zoo/agent"
CARD = "---\nlibrary_name: stable-baselines3\ntags: [CartPole-v1]\n---\n# An agent\n"


def zipped(text: str) -> bytes:
    """A zip, as agents are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(zipfile.ZipInfo("data"), text)  # without the time
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test of this file may reach out, the proxy or not."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: tuple[str, int]) -> None:
        assert address[0] == "127.0.0.1"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with loopback_hub() as hub:
        yield hub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of each kind: text, zip, binary without a pattern, empty, in folders."""
    files = {
        "README.md": CARD.encode(),
        "agent.zip": zipped("weights"),
        "logs/deep/evaluations.npz": bytes(range(256)),
        "logs/odd.name": b"\x00\xff",
        "logs/empty.zip": b"",
        "spaces & ümlauts.yml": "größe: 1\n".encode(),
    }
    for path, content in files.items():
        (tmp_path / "agent" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "agent" / path).write_bytes(content)
    return tmp_path / "agent"


def contents(folder: Path | str) -> dict[str, bytes]:
    """All files by path."""
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_folder_comes_back_to_the_bit_and_zips_go_by_lfs(hub: Hub, folder: Path) -> None:
    url = create_repo(AGENT)
    assert (url, url.repo_id) == (f"{hub.endpoint}/{AGENT}", AGENT)
    info = upload_folder(repo_id=AGENT, folder_path=folder, commit_message="An agent")
    back = contents(snapshot_download(AGENT))
    assert back.pop(".gitattributes").startswith(b"*.7z filter=lfs")
    assert back == contents(folder)
    assert hub.lfs_paths(AGENT) == {"agent.zip", "logs/deep/evaluations.npz", "logs/odd.name"}
    commit = hub.repositories[AGENT].at()
    assert (commit.oid, commit.title) == (info.oid, "An agent")
    sent = {(AGENT, path) for path, file in commit.files.items() if file.content}
    assert hub.downloads == dict.fromkeys(sent, 1)
    assert snapshot_download(AGENT, revision=info.oid).endswith(info.oid)
    assert set(hub.downloads.values()) == {1}, "the cache knows them"


def test_a_second_push_updates_the_same_repository(hub: Hub, folder: Path, tmp_path: Path) -> None:
    api = HfApi()
    api.create_repo(AGENT)
    first = api.upload_folder(repo_id=AGENT, folder_path=folder)
    api.create_repo(AGENT, exist_ok=True, private=True)
    (folder / "agent.zip").write_bytes(zipped("better weights"))
    (folder / "README.md").write_text(CARD + "Better.\n")
    second = api.upload_folder(repo_id=AGENT, folder_path=folder, delete_patterns="logs/**")
    assert list(hub.repositories[AGENT].commits)[1:] == [first.oid, second.oid]
    assert not hub.repositories[AGENT].private, "exist_ok changes nothing"
    for revision, text in ((first.oid, "weights"), (None, "better weights")):
        path = hf_hub_download(AGENT, "agent.zip", revision=revision)
        assert Path(path).read_bytes() == zipped(text)
    again = api.upload_folder(repo_id=AGENT, folder_path=folder)
    assert again.oid == second.oid, "nothing changed, so there is nothing to commit"
    api.delete_files(AGENT, ["logs/odd.name"])
    api.delete_folder("logs/deep", AGENT)
    assert {path for path in api.list_repo_files(AGENT) if path.startswith("logs")} == {"logs/empty.zip"}
    with pytest.raises(HfHubHTTPError, match="already created"):
        api.create_repo(AGENT)


def test_what_a_client_asks_about_a_repository(hub: Hub, folder: Path) -> None:
    api = HfApi()
    api.create_repo(AGENT)
    oid = api.upload_folder(repo_id=AGENT, folder_path=folder).oid
    content = (folder / "agent.zip").read_bytes()
    assert set(list_repo_files(AGENT)) == {".gitattributes", *contents(folder)}
    names = ["deep", "empty.zip", "odd.name"]
    assert [entry.path for entry in api.list_repo_tree(AGENT, "logs")] == [f"logs/{name}" for name in names]
    assert [entry.path for entry in api.list_repo_tree(AGENT, "logs/deep")] == ["logs/deep/evaluations.npz"]
    (entry,) = api.get_paths_info(AGENT, ["agent.zip"])
    assert isinstance(entry, RepoFile) and entry.lfs
    assert (entry.size, entry.lfs.sha256) == (len(content), sha256(content).hexdigest())
    info = api.model_info(AGENT, files_metadata=True)
    assert (info.id, info.author, info.sha, info.private) == (AGENT, "zoo", oid, False)
    assert info.card_data and info.card_data.library_name == "stable-baselines3" and info.tags == ["CartPole-v1"]
    assert {sibling.rfilename for sibling in info.siblings or [] if sibling.lfs} == hub.lfs_paths(AGENT)
    assert (api.repo_exists(AGENT), api.repo_exists("zoo/other")) == (True, False)
    assert (api.file_exists(AGENT, "agent.zip"), api.file_exists(AGENT, "other.zip")) == (True, False)
    assert ModelCard.load(AGENT).text.strip() == "# An agent"
    assert api.verify_repo_checksums(AGENT, local_dir=snapshot_download(AGENT)).mismatches == []
    assert (api.whoami()["name"], [each["name"] for each in api.whoami()["orgs"]]) == ("tester", ["zoo"])
    api.delete_repo(AGENT)
    assert not api.repo_exists(AGENT)


def test_branches_and_copies(hub: Hub) -> None:
    api, path = HfApi(), "a.txt"
    hub.put(AGENT, {path: b"main"})
    api.create_branch(AGENT, branch="sweep/1")
    api.upload_file(path_or_fileobj=b"branch", path_in_repo=path, repo_id=AGENT, revision="sweep/1")
    texts = [Path(hf_hub_download(AGENT, path, revision=revision)).read_bytes() for revision in ("main", "sweep/1")]
    assert texts == [b"main", b"branch"]
    assert {branch.name for branch in api.list_repo_refs(AGENT).branches} == {"main", "sweep/1"}
    hub.put(AGENT, {"a.zip": zipped("")})
    api.create_commit(AGENT, [CommitOperationCopy("a.zip", "b.zip")], commit_message="Copy")
    assert hub.lfs_paths(AGENT) == {"a.zip", "b.zip"} and hub.lfs_paths(AGENT, "sweep/1") == set()
    with pytest.raises(HfHubHTTPError, match="412"):
        api.delete_file(path, AGENT, parent_commit="0" * 40)


def test_models_of_an_author(hub: Hub) -> None:
    for repo_id, private in (("zoo/a", False), ("zoo/b", True), ("tester/c", False), ("other/d", True)):
        hub.put(repo_id, {"README.md": CARD.encode()}, private)
    ids = [model.id for model in HfApi().list_models(author="zoo", filter="CartPole-v1")]
    assert ids == ["zoo/a", "zoo/b"]
    assert [model.id for model in HfApi().list_models(author="zoo", token=False)] == ["zoo/a"]
    assert [model.id for model in HfApi().list_models(search="C")] == ["tester/c"]
    assert not list(HfApi().list_models(filter="Ant-v5"))


def test_a_private_repository_is_missing_without_its_owners_token(hub: Hub) -> None:
    create_repo(AGENT, private=True)
    hub.put(AGENT, {"a.zip": zipped("")})
    for token in (False, hub.sign_up("stranger")):
        with pytest.raises(RepositoryNotFoundError, match="Repository Not Found"):
            hf_hub_download(AGENT, "a.zip", token=token)
        with pytest.raises(RepositoryNotFoundError, match="Repository Not Found"):
            snapshot_download(AGENT, token=token)
        assert not HfApi(token=token).file_exists(AGENT, "a.zip")
    with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
        snapshot_download(AGENT, token="hf_wrong")
    snapshot_download(AGENT)
    assert hub.downloads[AGENT, "a.zip"] == 1


def test_what_is_missing(hub: Hub) -> None:
    hub.put(AGENT, {"a.txt": b""})
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("zoo/other", "a.txt")
    with pytest.raises(RepositoryNotFoundError):
        snapshot_download("zoo/other", token=False)
    with pytest.raises(EntryNotFoundError, match="Entry Not Found"):
        hf_hub_download(AGENT, "b.txt")
    with pytest.raises(RevisionNotFoundError, match="Revision Not Found"):
        hf_hub_download(AGENT, "a.txt", revision="v2")
    with pytest.raises(RevisionNotFoundError):
        snapshot_download(AGENT, revision="v2")
    with pytest.raises(HfHubHTTPError, match="does not know GET /api/models/zoo/agent/lfs-files"):
        list(HfApi().list_lfs_files(AGENT))


def test_who_may_write(hub: Hub) -> None:
    hub.put(AGENT, {"a.txt": b""})
    token = hub.sign_up("stranger")
    stranger = HfApi(token=token)
    for api, status in ((stranger, "403"), (HfApi(token=False), "401")):
        with pytest.raises(HfHubHTTPError, match=status):
            api.create_repo("zoo/new")
        with pytest.raises(HfHubHTTPError, match=status):
            api.upload_file(path_or_fileobj=b"new", path_in_repo="a.txt", repo_id=AGENT)
        assert api.create_repo(AGENT, exist_ok=True).repo_id == AGENT, "the client asks whether it is there"
    assert stranger.create_repo("own").repo_id == "stranger/own"
    with signed_in(token), pytest.raises(HfHubHTTPError, match="403"):
        create_repo("zoo/new")
    with signed_in(None):
        assert get_token() is None


def test_an_object_that_is_not_what_was_announced_is_refused(hub: Hub) -> None:
    hub.put(AGENT, {})
    true, headers = zipped("weights"), {"Authorization": f"Bearer {hub.token}"}
    announced = {"oid": sha256(true).hexdigest(), "size": len(true)}
    session = get_session()
    batch = f"{hub.endpoint}/{AGENT}.git/info/lfs/objects/batch"
    answer = session.post(batch, json={"operation": "upload", "objects": [announced]}, headers=headers)
    actions = answer.json()["objects"][0]["actions"]
    line = {"key": "lfsFile", "value": {"path": "agent.zip", "algo": "sha256", **announced}}
    lines = f'{{"key": "header", "value": {{"summary": "x"}}}}\n{line}\n'.replace("'", '"')

    def commit() -> httpx2.Response:
        return session.post(f"{hub.endpoint}/api/models/{AGENT}/commit/main", content=lines, headers=headers)

    for wrong in (true[:-1], true[:-1] + b"!", b""):
        answer = session.put(actions["upload"]["href"], content=wrong)
        assert (answer.status_code, "announced sha256" in answer.text) == (400, True)
        assert session.post(actions["verify"]["href"], json=announced, headers=headers).status_code == 400
        assert (commit().status_code, hub.lfs_paths(AGENT)) == (400, set())
    assert session.put(actions["upload"]["href"], content=iter([true[:5], true[5:]])).status_code == 200, "in chunks"
    assert session.put(actions["upload"]["href"], content=true).status_code == 403, "once"
    assert session.post(actions["verify"]["href"], json=announced, headers=headers).status_code == 200
    assert (commit().status_code, hub.lfs_paths(AGENT)) == (200, {"agent.zip"})


def test_git_takes_neither_zips_nor_what_is_large(hub: Hub) -> None:
    hub.put(AGENT, {".gitattributes": b"*.rst filter=lfs -text\n"})
    large = b"a" * (LARGEST_IN_GIT + 1)
    hub.put(AGENT, {"a.rst": b"a", "b/c.rst": b"a", "d.txt": b"a", "e.txt": large, "f.txt": b"a" * 511 + b"\xc3\xbc"})
    assert hub.lfs_paths(AGENT) == {"a.rst", "b/c.rst", "e.txt"}
    lines = '{"key": "header", "value": {}}\n{"key": "file", "value": {"path": "a.rst", "content": "YQ=="}}'
    headers = {"Authorization": f"Bearer {hub.token}"}
    answer = get_session().post(f"{hub.endpoint}/api/models/{AGENT}/commit/main", content=lines, headers=headers)
    assert (answer.status_code, "must be stored by LFS" in answer.text) == (400, True)


def test_tampered_content_comes_under_the_true_etag(hub: Hub) -> None:
    true, false = zipped("weights"), zipped("thghiew")
    hub.put(AGENT, {"a.zip": true, "b.zip": true + b"b"})
    hub.tamper(AGENT, "a.zip", false)
    hub.tamper(AGENT, "b.zip", b"short")
    path = Path(hf_hub_download(AGENT, "a.zip"))
    assert path.read_bytes() == false, "the client checks sizes only"
    assert path.resolve().name == sha256(true).hexdigest()
    with pytest.raises(OSError, match="Consistency check failed"):
        hf_hub_download(AGENT, "b.zip")
    assert hub.downloads[AGENT, "a.zip"] == 1


def test_a_broken_card_is_refused(hub: Hub) -> None:
    create_repo(AGENT)

    def upload(card: bytes) -> None:
        HfApi().upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=AGENT)

    with pytest.raises(ValueError, match=r"Invalid metadata in README\.md"):
        upload(b"---\ntags: [\n---\n")
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        upload(b"# Card")
    hub.put(AGENT, {"README.md": b"---\n- no mapping\n---\n"})
    assert HfApi().model_info(AGENT).tags == []


def test_another_process_needs_the_environment_only(hub: Hub, tmp_path: Path) -> None:
    code = """
import sys
hosts = set()
sys.addaudithook(lambda event, about: hosts.add(about[1][0]) if event == "socket.connect" else None)
from pathlib import Path
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
HfApi().create_repo("zoo/agent", private=True)
Path("agent").mkdir()
Path("agent/agent.zip").write_bytes(bytes(range(256)))
HfApi().upload_folder(repo_id="zoo/agent", folder_path="agent")
assert Path(hf_hub_download("zoo/agent", "agent.zip")).read_bytes() == bytes(range(256))
print(snapshot_download("zoo/agent"), *hosts)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    place, *hosts = result.stdout.split()
    assert place.startswith(os.environ["HF_HOME"]) and hosts == ["127.0.0.1"]
    assert (hub.lfs_paths(AGENT), hub.downloads[AGENT, "agent.zip"]) == ({"agent.zip"}, 1)
    assert not result.stderr and not hub.strays


def test_nobody_gets_past_it(hub: Hub) -> None:
    with pytest.raises(httpx2.ProxyError):
        HfApi(endpoint="https://huggingface.co").model_info("zoo/agent")
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get("https://huggingface.co/zoo/agent", timeout=5)
    assert requests.get("http://example.org", timeout=5).status_code == 403
    assert requests.get(f"{hub.endpoint}/api/models", timeout=5).json() == []
    assert hub.strays == ["huggingface.co:443"] * 2 + ["http://example.org/"]


def test_all_is_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    def state() -> tuple[object, ...]:
        copies = {
            (module, name): value
            for module, content in sys.modules.items()
            if module.startswith("huggingface_hub")
            for name, value in vars(content).items()
            if name in vars(constants) and name.isupper()
        }
        return dict(os.environ), HfApi().endpoint, create_repo.__self__.endpoint, copies  # type: ignore[attr-defined]

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = state()
    with pytest.raises(KeyError), loopback_hub("other", ("a", "b")) as hub:
        assert constants.ENDPOINT == HfApi().endpoint == hub.endpoint
        assert (HfApi().whoami()["name"], "HF_HUB_OFFLINE" in os.environ) == ("other", False)
        home = Path(constants.HF_HOME)
        assert home.is_dir()
        raise KeyError
    assert state() == before and not home.exists()
