"""To the Hub and back: RL Zoo's scripts and `gcrl_zoo.load_from_hub` on a Hub of our own."""

import shutil
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from rl_zoo3.utils import ALGOS

import gcrl_zoo
from gcrl_zoo.registry import discover
from gcrl_zoo.zoo.download import UNREACHABLE, NotOnHub, fetch_for_scripts
from gcrl_zoo.zoo.trust import Untrusted
from tests.support.case import trajectory_cases
from tests.support.envs import assert_same_actions
from tests.support.hostile_fields import KINDS
from tests.support.hub_server import signed_in
from tests.support.matrix import algo_of
from tests.support.scripts import script

ENV = "CartPole-v1"
METHODS = sorted(discover())
TRAJECTORY = [case.name for case in trajectory_cases()]

# What is trained for all tests is trained once.
pytestmark = pytest.mark.xdist_group("hub")


@pytest.fixture(scope="module")
def pushed(hub, tmp_path_factory):
    """Trains and pushes an agent of a method, once, and returns the folder it was done in."""
    done = {}

    def push(algo):
        if algo not in done:
            folder = done[algo] = tmp_path_factory.mktemp(algo)
            words = ["--algo", algo, "--env", ENV, "-f", "logs", "--num-threads", "1"]
            starts = {key: ["learning_starts:200", "train_freq:25", "gradient_steps:2"] for key in TRAJECTORY}
            starts["dqn"] = ["learning_starts:100"]
            play = ["-params", *starts[algo]] if algo in starts else []
            trained = script(
                "rl_zoo3.train",
                *words,
                "--seed",
                "1",
                "-n",
                "600",
                "--eval-freq",
                "-1",
                *play,
                folder=folder,
            )
            assert trained.returncode == 0, trained.stderr
            sent = script("rl_zoo3.push_to_hub", *words, "-orga", "zoo", "--no-render", folder=folder)
            assert sent.returncode == 0, sent.stderr
        return done[algo]

    return push


def repository(algo):
    return f"zoo/{algo}-{ENV}"


@algo_of("bc", "dt", "gcsl_vicreg")
def test_there_and_back(algo, hub, pushed):
    folder = pushed(algo)
    assert f"{algo}-{ENV}.zip" in hub.lfs_paths(repository(algo))
    agent, env = gcrl_zoo.load_from_hub(repository(algo), n_envs=3)
    before = ALGOS[algo].load(folder / "logs" / algo / f"{ENV}_1" / f"{ENV}.zip")
    assert type(agent) is type(before)
    assert_same_actions(before, agent, env)


def test_the_scripts_bring_it_back(hub, pushed, tmp_path):
    folder = pushed("bc")
    words = ["--algo", "bc", "--env", ENV, "-f", "downloads"]
    fetched = script("rl_zoo3.load_from_hub", *words, "-orga", "zoo", folder=tmp_path)
    assert fetched.returncode == 0, fetched.stderr
    run = Path("bc", f"{ENV}_1")
    for file in (Path(ENV, "config.yml"), Path(ENV, "args.yml")):
        assert (tmp_path / "downloads" / run / file).read_bytes() == (folder / "logs" / run / file).read_bytes()
    played = script("rl_zoo3.enjoy", *words, "--no-render", "-n", "50", "--num-threads", "1", folder=tmp_path)
    assert played.returncode == 0, played.stderr


def test_enjoy_downloads_what_it_does_not_find(pushed, tmp_path):
    pushed("bc")
    words = ["--algo", "bc", "--env", ENV, "-f", "rl-trained-agents", "--no-render", "-n", "50", "--num-threads", "1"]
    found = script("rl_zoo3.enjoy", *words, folder=tmp_path, GCRL_ZOO_ORGANIZATION="zoo")
    assert found.returncode == 0, found.stderr
    shutil.rmtree(tmp_path / "rl-trained-agents")
    missed = script("rl_zoo3.enjoy", *words, folder=tmp_path, GCRL_ZOO_ORGANIZATION="nobody")
    assert missed.returncode == 1 and "There is no repository nobody/bc-CartPole-v1" in missed.stderr


def test_a_second_push_goes_to_the_same_repository(hub, pushed):
    folder, repo = pushed("bc"), hub.repositories[repository("bc")]
    assert "note.txt" not in repo.at().files
    (folder / "hub" / f"bc-{ENV}" / "note.txt").write_text("again")
    words = ["--algo", "bc", "--env", ENV, "-f", "logs", "--num-threads", "1", "-orga", "zoo", "--no-render"]
    assert script("rl_zoo3.push_to_hub", *words, folder=folder).returncode == 0
    assert repo is hub.repositories[repository("bc")] and repo.at().files.keys() > {"note.txt", "README.md"}


# ------------------------------------------------------------------ what is not there


def refused(error, repo_id, *words):
    with pytest.raises(error) as caught:
        gcrl_zoo.load_from_hub(repo_id)
    assert all(word in str(caught.value) for word in (repo_id, *words)), caught.value
    assert "\n" not in str(caught.value)


def test_no_such_repository(hub):
    refused(NotOnHub, "zoo/nothing", hub.endpoint, "hf auth login")


def test_no_name_of_a_repository(hub):
    refused(NotOnHub, "no such/name/at all", "ORGANISATION/NAME")


def test_private_for_others(hub, pushed):
    copy(hub, pushed, "zoo/private", private=True)
    gcrl_zoo.load_from_hub("zoo/private")
    with signed_in(None):
        refused(NotOnHub, "zoo/private", "private")


@pytest.mark.parametrize("file", ["config.yml", "args.yml", f"bc-{ENV}.zip"])
def test_a_missing_file(file, hub, pushed):
    copy(hub, pushed, f"zoo/without-{file}".replace(".yml", ""), without=file)
    refused(NotOnHub, f"zoo/without-{file}".replace(".yml", ""), file if file.endswith(".yml") else "ENVIRONMENT.zip")


@pytest.mark.parametrize("error", UNREACHABLE)
def test_no_network(error, hub, monkeypatch):
    def fail(*_, **__):
        raise error("no way")

    monkeypatch.setattr("gcrl_zoo.zoo.download.get_hf_file_metadata", fail)
    with pytest.raises(NotOnHub, match=f"^{hub.endpoint} cannot be reached; check the network"):
        gcrl_zoo.load_from_hub(repository("bc"))


def test_a_revision(hub, pushed):
    copy(hub, pushed, "zoo/revised")
    (first,) = [oid for oid, each in hub.repositories["zoo/revised"].commits.items() if each.title == "put"]
    hub.put("zoo/revised", {"config.yml": b"[]"})
    refused(Untrusted, "zoo/revised", "config.yml")
    gcrl_zoo.load_from_hub("zoo/revised", revision=first)
    with pytest.raises(NotOnHub, match="was not downloaded: Invalid rev id: none"):
        gcrl_zoo.load_from_hub("zoo/revised", revision="none")


def test_what_is_too_large_is_not_downloaded(hub, pushed, monkeypatch):
    copy(hub, pushed, "zoo/large")
    monkeypatch.setattr("gcrl_zoo.zoo.download.MAX_BYTES", 1000)
    refused(Untrusted, "zoo/large", "bytes, which exceeds the limit of 1000")
    assert not hub.downloads["zoo/large", f"bc-{ENV}.zip"]


# ------------------------------------------------------------------ what does harm


def copy(hub, pushed, name, without=None, private=False, **spoilt):
    """A repository with the files of the agent that was pushed, and others."""
    folder = pushed("bc") / "hub" / f"bc-{ENV}"
    files = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
    hub.put(name, {key: value for key, value in {**files, **spoilt}.items() if key != without}, private=private)


def as_run(pushed, tmp_path):
    """The run as it lies in the log folder, with what a kind of harm may need."""
    run = tmp_path / "run"
    shutil.copytree(pushed("bc") / "logs" / "bc" / f"{ENV}_1", run)
    shutil.copy(pushed("bc") / "hub" / f"bc-{ENV}" / "train_eval_metrics.zip", run)
    return run


ON_HUB = {f"{ENV}.zip": f"bc-{ENV}.zip", "config.yml": "config.yml", "args.yml": "args.yml"}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.file.name in ON_HUB], ids=str)
def test_nothing_of_it_runs(kind, hub, pushed, tmp_path):
    run, mark = as_run(pushed, tmp_path), tmp_path / "mark"
    kind.tamper(run / kind.file, mark)
    name = f"zoo/{kind}"
    copy(hub, pushed, name, **{ON_HUB[kind.file.name]: (run / kind.file).read_bytes()})
    with pytest.raises(Untrusted):
        gcrl_zoo.load_from_hub(name)
    with pytest.raises(Untrusted):  # as the scripts download
        fetch_for_scripts(name, ON_HUB[kind.file.name], upstream=None)
    assert not mark.exists()


def test_the_script_refuses_it_too_and_leaves_nothing(hub, pushed, tmp_path):
    (kind,) = (kind for kind in KINDS if kind.name == "a_config_that_calls")
    run, mark = as_run(pushed, tmp_path), tmp_path / "mark"
    kind.tamper(run / kind.file, mark)
    copy(hub, pushed, "zoo/hostile", **{"config.yml": (run / kind.file).read_bytes()})
    words = ["--algo", "bc", "--env", ENV, "-f", "downloads", "-orga", "zoo", "-name", "hostile"]
    fetched = script("rl_zoo3.load_from_hub", *words, folder=tmp_path)
    assert fetched.returncode == 1 and "Untrusted" in fetched.stderr.splitlines()[-1]
    assert not mark.exists() and not (tmp_path / "downloads").exists()


def test_other_bytes_than_announced(hub, pushed):
    copy(hub, pushed, "zoo/tampered")
    content = bytearray(hub.repositories["zoo/tampered"].at().files["config.yml"].content)
    content[0] ^= 1
    hub.tamper("zoo/tampered", "config.yml", bytes(content))
    refused(Untrusted, "zoo/tampered", "config.yml", "not the file that the Hub announced")


def test_agents_of_others_are_left_to_upstream_unless_asked(pushed, tmp_path):
    pushed("dqn")
    words = ["--algo", "dqn", "--env", ENV, "-f", "downloads", "-orga", "zoo"]
    stock = script("rl_zoo3.load_from_hub", *words, folder=tmp_path)
    assert stock.returncode == 1 and "set the environment variable" in stock.stderr
    for switch in ("TRUST_REMOTE_CODE", "GCRL_ZOO_CHECK"):
        fetched = script("rl_zoo3.load_from_hub", *words, folder=tmp_path, **{switch: "True"})
        assert fetched.returncode == 0, fetched.stderr


@pytest.mark.parametrize(
    ("env", "error", "word"),
    [("antigravity:CartPole-v1", Untrusted, "imports"), ("Pendulum-v1", NotOnHub, ENV)],
)
def test_the_environment_is_the_agents(env, error, word, hub, pushed):
    arguments = (pushed("bc") / "hub" / f"bc-{ENV}" / "args.yml").read_text()
    assert arguments.count(f"- env\n    - {ENV}\n") == 1
    spoilt = arguments.replace(f"- env\n    - {ENV}\n", f"- env\n    - {env}\n")
    name = f"zoo/{word.replace(' ', '-')}"
    copy(hub, pushed, name, **{"args.yml": spoilt.encode()})
    refused(error, name, word)


def test_one_agent_in_a_repository(hub, pushed):
    copy(hub, pushed, "zoo/two", **{f"gcsl-{ENV}.zip": b"PK"})
    refused(NotOnHub, "zoo/two", f"'bc-{ENV}.zip' and 'gcsl-{ENV}.zip'")
    assert HfApi().repo_exists("zoo/two")
