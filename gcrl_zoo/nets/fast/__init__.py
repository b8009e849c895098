"""Faster ways to compute what the plain networks compute; each has a row in ``docs/results/dt_speed.md``."""
