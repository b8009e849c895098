"""The only room that knows rl_zoo3: what we change in it, and why. Start reading at :mod:`gcrl_zoo.zoo.hook`."""
