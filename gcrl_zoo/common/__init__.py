"""What all methods share, where Stable-Baselines3 enters: the training loop, acting, saving and resuming."""
