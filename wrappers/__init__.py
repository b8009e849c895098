"""Gymnasium wrappers, usable from RL Zoo: ``env_wrapper: gcrl_zoo.wrappers.NAME``."""
