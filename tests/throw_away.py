"""A method as short as can be, for tests of everything around methods."""

from pathlib import Path

ROOT = Path(__file__).parent.parent

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
    """Add a method as CONTRIBUTING says: a folder and a YAML file."""
    folder = house / "gcrl_zoo" / "methods" / name
    folder.mkdir()
    (folder / "__init__.py").write_text(source)
    (house / "hyperparams" / f"{name}.yml").write_text(yaml)
