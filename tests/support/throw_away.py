"""Methods that tests add to a copy of the repository: a minimal one, that of the docs, and a subclass of ``PPO``."""

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]

SOURCE = """
from stable_baselines3 import PPO

class Ninth(PPO):
    pass

def search_space(trial):
    return {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)}

ALGORITHM = Ninth
"""
YAML = """
default:
  policy: MlpPolicy
  n_timesteps: 300
  n_steps: 64
  batch_size: 32
  policy_kwargs: {net_arch: [8], ortho_init: false}
"""


def add_method(house: Path, name: str = "ninth", source: str = SOURCE, yaml: str = YAML) -> None:
    """Add a method: a folder and a YAML file."""
    folder = house / "gcrl_zoo" / "methods" / name
    folder.mkdir()
    (folder / "__init__.py").write_text(source)
    (house / "hyperparams" / f"{name}.yml").write_text(yaml)


def add_method_of_docs(house: Path) -> None:
    """Write the files of docs/add_a_method.md: each code block there that starts with its path."""
    page = (ROOT / "docs" / "add_a_method.md").read_text()
    block = r"^(`{3,4})\w+\n# (\S+/\S+)\n(.*?)^\1$"
    for _, path, text in re.findall(block, page, re.MULTILINE | re.DOTALL):
        assert not (house / path).exists()
        (house / path).parent.mkdir(parents=True, exist_ok=True)
        (house / path).write_text(text)


#: Where the files of ``tests.support.ppo_inverse`` belong.
PPO_INVERSE = {
    "method": "gcrl_zoo/methods/ppo_inverse",
    "hyperparams.yml": "hyperparams/ppo_inverse.yml",
    "case.py": "tests/cases/ppo_inverse.py",
    "page.md": "docs/methods/ppo_inverse.md",
}


def add_method_of_ppo(house: Path) -> None:
    """Add the method of ``tests.support.ppo_inverse``: a folder, a YAML file, a test case and a page."""
    for name, place in PPO_INVERSE.items():
        source, target = ROOT / "tests" / "support" / "ppo_inverse" / name, house / place
        assert not target.exists()
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
