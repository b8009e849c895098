"""`python -m gcrl_zoo.publish`: every method goes to a Hub of our own, and comes back as card and table say."""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import HfApi, ModelCard, hf_hub_download
from rl_zoo3.utils import ALGOS
from stable_baselines3.common.evaluation import evaluate_policy

import gcrl_zoo
from gcrl_zoo.publish.__main__ import main
from gcrl_zoo.publish.card import plain
from gcrl_zoo.publish.evaluation import evaluate
from gcrl_zoo.publish.trainings import Training, find_trainings, same_settings, tuned_environments
from gcrl_zoo.registry import discover
from gcrl_zoo.zoo.download import UNREACHABLE
from gcrl_zoo.zoo.hyperparams import compose
from tests.support.case import trajectory_cases
from tests.support.envs import assert_same_actions
from tests.support.hub_server import signed_in
from tests.support.matrix import algo_of, is_child
from tests.support.scripts import fork_server, script
from tests.support.throw_away import ROOT

ENV = "CartPole-v1"
METHODS = [case.name for case in trajectory_cases()]
#: Children of other methods are published in the same way, and are left to ``--all``.
QUICK = [case.name for case in trajectory_cases() if not is_child(case)]
PARAMS = ["learning_starts:200", "train_freq:25", "gradient_steps:2"]
PLAY = ["-n", "600", "--num-threads", "1", "--eval-freq", "-1", "-params", *PARAMS]
PUBLISH = ["--organization", "zoo", "--num-threads", "1", "--n-episodes", "5"]
FENCE = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What is trained for all tests is trained once.
pytestmark = pytest.mark.xdist_group("publish")


@pytest.fixture(scope="module")
def house(hub, tmp_path_factory, pytestconfig):
    """A folder in which every tested method was trained and published by one command."""
    folder = tmp_path_factory.mktemp("house")
    methods = METHODS if pytestconfig.getoption("--all") else QUICK
    words = [*PUBLISH, "--algo", *methods, "-n", "30", "--env", ENV, "--train", "--seeds", "1", "--", *PLAY]
    done = script("gcrl_zoo.publish", *words, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def alone(house, tmp_path, monkeypatch):
    """A folder with the agent of one method and nothing else, to work in."""
    shutil.copytree(house / "logs" / "bc", tmp_path / "logs" / "bc")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "logs" / "bc" / f"{ENV}_1"


def repository(algo):
    return f"zoo/{algo}-{ENV}"


def agent_of(folder, algo):
    """As it was saved after the training."""
    return ALGOS[algo].load(folder / "logs" / algo / f"{ENV}_1" / f"{ENV}.zip")


def row(table, algo):
    """The cells of a method in a table, by their column."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    (found,) = (line for line in lines if line[0] == f"`{algo}`")
    return dict(zip(lines[0], found, strict=True))


# ------------------------------------------------------------------ what is published


@algo_of(*QUICK)
def test_it_comes_back_as_the_table_says(algo, hub, house):
    told = row((house / "benchmark.md").read_text(), algo)
    agent, env = gcrl_zoo.load_from_hub(repository(algo), seed=1000)
    returns, _ = evaluate_policy(agent, env, 5, return_episode_rewards=True)
    assert told["its score"] == f"{np.mean(returns):.2f} ± {np.std(returns):.2f}"
    assert told["published agent"] == f"[{repository(algo)}]({hub.endpoint}/{repository(algo)})"
    assert (told["steps"], told["environment"], told["training data"]) == ("600", ENV, "online interaction")
    results = json.loads(Path(hf_hub_download(repository(algo), "results.json")).read_text())
    assert results["returns"] == returns and results["mean_reward"] == np.mean(returns)
    assert {f"{algo}-{ENV}.zip", "replay.mp4"} <= hub.lfs_paths(repository(algo))


@algo_of(*QUICK)
def test_actions_are_the_same(algo, house):
    agent, env = gcrl_zoo.load_from_hub(repository(algo), n_envs=2)
    before = agent_of(house, algo)
    assert_same_actions(before, agent, env)


@algo_of(*QUICK)
def test_the_card_says_what_it_is(algo, house):
    card = ModelCard.load(repository(algo))
    told = row((house / "benchmark.md").read_text(), algo)
    (result,) = card.data.eval_results
    assert result.metric_value == told["its score"].replace("±", "+/-") and result.dataset_name == ENV
    assert {algo, ENV, "gcrl_zoo", "reinforcement-learning"} <= set(card.data.tags)
    assert card.data.library_name == "stable-baselines3"
    assert f"| 1 (this one) | {told['its score']} |" in card.text
    assert f"gcrl_zoo {gcrl_zoo.__version__}" in card.text and "@software{gcrl_zoo," in card.text
    agent = agent_of(house, algo)
    assert bool(agent.policy.target_description) == (f"| target | {agent.policy.target_description} |" in card.text)
    block = yaml.safe_load(re.search(r"^```yaml\n(.*?)^```$", card.text, re.MULTILINE | re.DOTALL)[1])
    ((training,), _) = find_trainings(house / "logs", algo)
    assert block == plain({**training.hyperparams, "n_timesteps": 600})
    _, tuned = compose(discover()[algo], None, ENV)
    given = {"learning_starts": 200, "train_freq": 25, "gradient_steps": 2, "n_timesteps": 600}  # PLAY
    assert plain({**tuned, **given}).items() <= block.items()


def test_what_is_asked_for_is_told(house):
    target = agent_of(house, "gcsl_vicreg").policy.target_return.item()
    assert f"| target | a return of {target:,.6g} from each step on |" in ModelCard.load(repository("gcsl_vicreg")).text
    assert "| target | the environment's goal |" in ModelCard.load(repository("gcsl")).text


def test_the_video_is_one(house, tmp_path):
    video = hf_hub_download(repository("bc"), "replay.mp4")
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(video)
    assert frames == 31 and seconds > 0  # the first picture is that before any action


@algo_of("bc", "dt")
def test_rl_zoo_films_it(algo, house, tmp_path):
    words = ["--algo", algo, "--env", ENV, "-f", "logs", "-o", str(tmp_path), "-n", "20", "--no-render"]
    done = script("rl_zoo3.record_video", *words, folder=house, SDL_VIDEODRIVER="dummy")
    assert done.returncode == 0, done.stderr
    (video,) = tmp_path.glob("*.mp4")
    assert imageio_ffmpeg.count_frames_and_secs(video)[0] == 21


def test_the_commands_of_the_card_do_what_they_say(house, tmp_path):
    play, train = FENCE.findall(ModelCard.load(repository("bc")).text)
    download, enjoy = play.strip().splitlines()
    for command in (download, f"{enjoy} --no-render", train.strip()):
        python, _, module, *words = shlex.split(command)
        assert python == "python"
        done = script(module, *words, *(["--eval-freq", "-1"] if "train" in module else []), folder=tmp_path)
        assert done.returncode == 0, done.stderr
        if "enjoy" in module:
            played = [float(each) for each in re.findall(r"Episode Reward: ([\d.]+)", done.stdout)]
            results = json.loads(Path(hf_hub_download(repository("bc"), "results.json")).read_text())
            assert played[:5] == results["returns"]
    first, again = (agent_of(folder, "bc") for folder in (house, tmp_path))
    for name, value in first.policy.state_dict().items():
        np.testing.assert_array_equal(value, again.policy.state_dict()[name], err_msg=name)


def test_more_seeds_go_to_the_same_repository(hub, house, tmp_path):
    """Only what is missing is trained; the median is published, and the card tells of all."""
    shutil.copytree(house / "logs" / "bc", tmp_path / "logs" / "bc")
    repo, commits = hub.repositories[repository("bc")], len(hub.repositories[repository("bc")].commits)
    hub.put(repository("bc"), {"note.txt": b"by hand", "vec_normalize.pkl": b"of before"})
    words = [*PUBLISH, "--no-video", "--algo", "bc", "--env", ENV, "--train", "--seeds", "1", "2", "3"]
    done = script("gcrl_zoo.publish", *words, "--", *PLAY, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Training: ") == 2 and len(list((tmp_path / "logs" / "bc").iterdir())) == 3
    told = row((tmp_path / "benchmark.md").read_text(), "bc")
    means = [float(each) for each in told["each seed"].split()]
    assert len(means) == 3 and told["all seeds"] == f"{np.mean(means):.2f} ± {np.std(means):.2f}"
    assert told["its score"].startswith(f"{np.median(means):.2f} ±")
    assert repo is hub.repositories[repository("bc")] and len(repo.commits) == commits + 2
    files = repo.at().files.keys()
    assert "note.txt" in files and not {"vec_normalize.pkl", "replay.mp4"} & files
    card = ModelCard.load(repository("bc")).text
    this = means.index(float(np.median(means))) + 1
    assert (
        f"| {this} (this one) | {told['its score']} |" in card
        and f"contains the agent of seed {this}, the median" in card
    )


UPRIGHT = "env_wrapper:[{'gcrl_zoo.wrappers.Upright': dict(terminate=True, goal_reward=True, threshold=0.5)}]"


@pytest.mark.parametrize(
    ("algo", "env", "words", "wrapper"),
    [
        ("gcsl", ENV, [*PLAY, UPRIGHT], "terminate"),
        ("gcsl_vicreg", "gcrl_zoo/CartPoleUpright-v1", ["-conf", "consistency", *PLAY], None),
    ],
    ids=["a wrapper that ends episodes and rewards", "an id with a slash and a preset"],
)
def test_the_environment_with_its_wrappers_is_what_counts(algo, env, words, wrapper, hub, tmp_path):
    """As enjoy and the one line in Python see it; goals, successes and all."""
    trained = script("rl_zoo3.train", "--algo", algo, "--env", env, "--seed", "1", *words, folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    done = script("gcrl_zoo.publish", *PUBLISH, "--no-video", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    told = row((tmp_path / "benchmark.md").read_text(), algo)
    repo_id = told["published agent"].split("]")[0][1:]
    assert told["environment"] == env and repo_id == f"zoo/{algo}-{env.replace('/', '-')}"
    played = script(
        "rl_zoo3.enjoy", "--algo", algo, "--env", env, "-f", "logs", "--no-render", "--seed", "1000", folder=tmp_path
    )
    rewards = [float(each) for each in re.findall(r"Episode Reward: (-?[\d.]+)", played.stdout)][:5]
    assert told["its score"] == f"{np.mean(rewards):.2f} ± {np.std(rewards):.2f}"
    agent, vec_env = gcrl_zoo.load_from_hub(repo_id, seed=1000)
    scores = evaluate(agent, vec_env, 5)
    assert (f"{scores.mean:.2f}", f"{scores.success:.2f}") == (told["its score"].split()[0], told["success"])
    card = ModelCard.load(repo_id).text
    assert f"| {told['success']} |" in card and "| target | the environment's goal |" in card
    assert (wrapper is None) or re.search(rf"\| wrappers \| .*Upright.*{wrapper}", card)
    assert ("-conf consistency" if wrapper is None else "'goal_reward': True") in card


# ------------------------------------------------------------------ which trainings belong together


def training(number, seed=0, batch_size=2, **arguments):
    arguments = {"env": ENV, "seed": seed, "n_timesteps": -1, **arguments}
    return Training(Path("logs", "bc", f"{ENV}_{number}"), arguments, {"batch_size": batch_size})


def test_only_the_seed_may_differ():
    first, other, longer, again, last = (
        training(1),
        training(2, 1, batch_size=4),
        training(3, 2, n_timesteps=7),
        training(4, 0, vec_env="subproc"),
        training(5, 3),
    )
    assert same_settings([first, other, longer, again, last]) == [again, last]
    assert same_settings([first, other]) == [other]


def test_the_command_names_all_that_was_given():
    options = {"hyperparams": {"stream": "a/b-v0", "lr": 1e-4}, "env_kwargs": {"x": [1, 2]}, "gym_packages": ["a", "b"]}
    words = shlex.split(training(1, 3, n_timesteps=100, num_threads=-1, trained_agent="", **options).command)
    assert " ".join(words) == (
        f"python -m rl_zoo3.train --algo bc --env {ENV} --seed 3 --gym-packages a b -n 100 --env-kwargs x:[1, 2] "
        "-params stream:'a/b-v0' lr:0.0001"
    )
    assert "x:[1, 2]" in words


def test_the_command_is_python_where_values_are():
    given = {"policy_kwargs": {"optimizer_class": torch.optim.AdamW, "act": [torch.nn.ReLU, (1,)]}, "x": float("inf")}
    (word, other) = shlex.split(training(1, hyperparams=given).command)[-2:]
    assert word == "policy_kwargs:{'optimizer_class': th.optim.AdamW, 'act': [nn.ReLU, (1, )]}"
    assert eval(word.partition(":")[2], {"th": torch, "nn": torch.nn}) == given["policy_kwargs"]
    assert other == "x:float('inf')"


def test_unfinished_runs_are_none(alone):
    ((found,), broken) = find_trainings(Path("logs"), "bc")
    assert (found.number, found.seed, found.env_id) == (1, 1, ENV) and not broken
    (alone / f"{ENV}.zip").unlink()
    assert find_trainings(Path("logs"), "bc") == ([], [])


def test_tuned_environments_are_those_of_the_yaml():
    assert {ENV, "LunarLander-v3", "Hopper-v5"} <= set(tuned_environments(discover()["bc"])) and "default" not in (
        tuned_environments(discover()["bc"])
    )


# ------------------------------------------------------------------ what goes wrong


def refused(capsys, *words, **more):
    with pytest.raises(SystemExit) as caught:
        main([*words])
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith(("python -m gcrl_zoo.publish: error", "usage"))
    return message


def test_who_may_not_is_told_first(hub, alone, capsys):
    assert "not a member of others; choose from tester, zoo" in refused(capsys, "--organization", "others")
    with signed_in(None):
        assert "not signed in" in refused(capsys, "--organization", "zoo")
    with signed_in("hf_wrong"):
        assert "rejected your token" in refused(capsys, "--organization", "zoo")
    assert not Path("benchmark.md").exists()


def test_what_is_not_there_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "is not a method of gcrl_zoo; choose from bc" in refused(capsys, "--no-push", "--algo", "ppo")
    assert "no matching agent in logs" in refused(capsys, "--no-push")
    assert "need --train" in refused(capsys, "--no-push", "--", "-n", "1")


def test_one_that_fails_stops_no_other(hub, house, alone, capsys):
    shutil.copytree(house / "logs" / "gcsl", "logs/gcsl")
    agent = alone / f"{ENV}.zip"
    agent.write_bytes(agent.read_bytes()[:1000])
    with pytest.raises(SystemExit) as caught:
        main(["--no-push", "--n-episodes", "2"])
    assert caught.value.code == 1
    assert "failed: bc on CartPole-v1" in capsys.readouterr().err
    table = Path("benchmark.md").read_text()
    assert row(table, "gcsl")["published agent"] == "none" and "`bc`" not in table and "- bc on CartPole-v1: " in table


def test_a_training_that_fails_is_told(tmp_path):
    words = ["--no-push", "--algo", "bc", "--env", ENV, "--train", "--", "-n", "600", "-params", "no_such:1"]
    done = script("gcrl_zoo.publish", *words, folder=tmp_path)
    assert done.returncode == 1 and "failed: The training of bc on CartPole-v1 with seed 0 ended" in done.stderr
    assert "no_such" in done.stderr and done.stdout.count("Training: ") == 1
    assert "- The training of bc on CartPole-v1 with seed 0 ended" in (tmp_path / "benchmark.md").read_text()


def test_what_nobody_could_load_is_not_pushed(hub, alone, capsys):
    """Here a schedule that is a function, which is saved as code."""
    agent = ALGOS["bc"].load(alone / f"{ENV}.zip")
    agent.learning_rate = lambda progress: 1e-3 * progress
    agent.save(alone / f"{ENV}.zip")
    before = dict(hub.repositories[repository("bc")].commits)
    with pytest.raises(SystemExit):
        main([*PUBLISH, "--no-video"])
    assert "data[learning_rate] imports 'cloudpickle" in capsys.readouterr().err
    assert hub.repositories[repository("bc")].commits == before


@pytest.mark.parametrize("file", ["args.yml", "config.yml"])
def test_a_run_that_cannot_be_read_is_named(file, hub, house, alone, capsys):
    shutil.copytree(house / "logs" / "gcsl", "logs/gcsl")
    (alone / ENV / file).write_text("!!python/object/apply:collections.OrderedDict\n- - - n_env")
    with pytest.raises(SystemExit) as caught:
        main(["--no-push", "--n-episodes", "2"])
    assert caught.value.code == 1 and f"failed: {Path('logs', 'bc')}" in capsys.readouterr().err
    assert row(Path("benchmark.md").read_text(), "gcsl")


def test_a_package_that_is_missing_is_named(alone, capsys):
    arguments = alone / ENV / "args.yml"
    arguments.write_text(arguments.read_text().replace("- gym_packages\n    - []", "- gym_packages\n    - [no_such]"))
    with pytest.raises(SystemExit):
        main(["--no-push", "--n-episodes", "2"])
    assert "failed: bc on CartPole-v1: No module named 'no_such'" in capsys.readouterr().err


@pytest.mark.parametrize("error", UNREACHABLE)
def test_without_a_network_it_is_told_first(error, hub, alone, monkeypatch, capsys):
    monkeypatch.setattr(HfApi, "whoami", lambda _: (_ for _ in ()).throw(error("no way")))
    assert f"{hub.endpoint} cannot be reached" in refused(capsys, "--organization", "zoo")


def test_a_hub_that_says_no_in_the_end(hub, alone, monkeypatch, capsys):
    def refuse(*_, **__):
        raise UNREACHABLE[0]("cut")

    monkeypatch.setattr(HfApi, "upload_folder", refuse)
    with pytest.raises(SystemExit) as caught:
        main([*PUBLISH, "--no-video"])
    assert caught.value.code == 1 and f"{repository('bc')} was not pushed" in capsys.readouterr().err
    assert row(Path("benchmark.md").read_text(), "bc")["published agent"] == "none"


def test_passwords_are_not_published(alone):
    arguments = alone / ENV / "args.yml"
    text = arguments.read_text()
    secret = text.replace("- storage\n    - null", "- storage\n    - mysql://me:secret@host/db")
    secret = secret.replace("- trial_id\n    - null", "- trial_id\n    - 3")
    assert secret.count("secret") == 1 and secret.count("- 3\n") == text.count("- 3\n") + 1
    arguments.write_text(secret)
    main(["-orga", "tester", "--no-video", "--n-episodes", "2"])
    repo_id = f"tester/bc-{ENV}"
    card = ModelCard.load(repo_id).text
    assert "secret" not in card + Path(hf_hub_download(repo_id, "args.yml")).read_text()
    assert "-params batch_size:" not in text and " -params " in card and "train_freq:25" in card


def test_private_is_private(hub, alone, capsys):
    hub.repositories.pop("tester/bc-CartPole-v1", None)
    main(["-orga", "tester", "--private", "--no-video", "--n-episodes", "2"])
    assert HfApi().repo_info("tester/bc-CartPole-v1").private
    with pytest.raises(SystemExit):
        main([*PUBLISH, "--private", "--no-video"])
    assert "already exists and is public" in capsys.readouterr().err


def test_no_picture_no_video(alone, capsys, monkeypatch):
    monkeypatch.setattr("gcrl_zoo.publish.film", lambda *_: 1 / 0)
    main(["-orga", "tester", "--n-episodes", "2"])
    assert "No video: CartPole-v1 cannot be rendered here (ZeroDivisionError" in capsys.readouterr().out
    assert not HfApi().file_exists("tester/bc-CartPole-v1", "replay.mp4")


# ------------------------------------------------------------------ the page


def test_the_page_works_from_top_to_bottom(hub, tmp_path):
    """Only the trainings, the evaluation and the video are shortened."""
    page = (ROOT / "docs" / "hub.md").read_text()
    commands = "".join(FENCE.findall(page)).replace("ORGANISATION", "zoo")
    short = f"--num-threads 1 --eval-freq -1 -n 600 -params {' '.join(PARAMS)}"
    commands, n = re.subn(r"(rl_zoo3\.train .*)$", rf"\1 {short}", commands, flags=re.MULTILINE)
    commands = commands.replace("gcrl_zoo.publish", "gcrl_zoo.publish --n-episodes 5 -n 30")
    assert n == 3 and "gcrl_zoo.publish" in commands and "record_video" in commands
    path = f"{fork_server().folder.name}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "SDL_VIDEODRIVER": "dummy"}
    done = subprocess.run(["bash", "-exc", commands], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = row((tmp_path / "benchmark.md").read_text(), "gcsl_vicreg")
    assert len(told["each seed"].split()) == 3 and told["published agent"].startswith(f"[{repository('gcsl_vicreg')}]")
    assert len(list((tmp_path / "downloads" / "gcsl_vicreg" / f"{ENV}_1" / "videos").glob("*.mp4"))) == 1
