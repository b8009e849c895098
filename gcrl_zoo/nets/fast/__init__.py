"""
Faster parts of a transformer. They have the parameters of the plain ones and compute the same up to rounding.

``docs/results/dt_speed.md`` shows what each of them gains.
"""
