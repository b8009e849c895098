"""``python -m gcrl_zoo.train ...`` is ``python -m rl_zoo3.train ...`` without the startup file."""

from gcrl_zoo.zoo.__main__ import run

if __name__ == "__main__":
    run("train")
