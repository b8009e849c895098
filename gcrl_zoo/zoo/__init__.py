"""
Extensions of RL Zoo. :mod:`~gcrl_zoo.zoo.hook` runs our code right after seven upstream modules are imported:

- ``gymnasium``: :mod:`~gcrl_zoo.zoo.wrapped` registers our environment ids;
- ``rl_zoo3.utils``: :mod:`~gcrl_zoo.zoo.scripts` adds our algorithms and explains invalid values of ``-params``;
- ``rl_zoo3.hyperparams_opt``: :mod:`~gcrl_zoo.zoo.register` adds our search spaces;
- ``rl_zoo3.exp_manager``: :mod:`~gcrl_zoo.zoo.experiment` finds our YAML and presets, and registers environments. It
  uses :mod:`~gcrl_zoo.zoo.spaces` to refuse unsupported observations, :mod:`~gcrl_zoo.zoo.monitor` to write success to
  monitor files, and :mod:`~gcrl_zoo.zoo.estimate` to print the estimated duration of a run;
- ``huggingface_sb3.push_to_hub``: :mod:`~gcrl_zoo.zoo.hub` restores a name that rl_zoo3 imports;
- ``huggingface_sb3``: :mod:`~gcrl_zoo.zoo.hub` checks downloads instead of refusing them;
- ``rl_zoo3.load_from_hub``: :mod:`~gcrl_zoo.zoo.hub` lets ``enjoy`` find our agents.

``docs/architecture.md`` lists the upstream issues that these patches work around. Each has a test in
``tests/zoo/test_ledger.py`` that fails once upstream is fixed. Then remove the patch.
"""
