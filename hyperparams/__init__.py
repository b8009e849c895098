"""Hyperparameters in RL Zoo's format: ``NAME.yml`` keyed by environment id, ``presets/NAME/VARIANT.yml`` as deltas."""
