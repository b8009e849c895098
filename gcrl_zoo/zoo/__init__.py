"""
The room that extends RL Zoo. :mod:`~gcrl_zoo.zoo.hook` runs our code right after seven upstream modules load:

- ``gymnasium``: :mod:`~gcrl_zoo.zoo.wrapped` registers our ids;
- ``rl_zoo3.utils``: :mod:`~gcrl_zoo.zoo.scripts` adds our algorithms, and explains values that cannot be evaluated;
- ``rl_zoo3.hyperparams_opt``: :mod:`~gcrl_zoo.zoo.register` adds our search spaces;
- ``rl_zoo3.exp_manager``: :mod:`~gcrl_zoo.zoo.experiment` finds our YAML and presets, and registers environments. It
  uses :mod:`~gcrl_zoo.zoo.spaces` to refuse observations that no network here can read, :mod:`~gcrl_zoo.zoo.monitor`
  to write success rates to monitor files, and :mod:`~gcrl_zoo.zoo.estimate` to print how long a run will take;
- ``huggingface_sb3.push_to_hub``: :mod:`~gcrl_zoo.zoo.hub` restores a name that rl_zoo3 imports;
- ``huggingface_sb3``: :mod:`~gcrl_zoo.zoo.hub` checks what is downloaded instead of refusing it;
- ``rl_zoo3.load_from_hub``: :mod:`~gcrl_zoo.zoo.hub` tells ``enjoy`` where our agents are.

The ledger of what upstream lacks is in ``docs/architecture.md``. Each of its lines has a test in
``tests/zoo/test_ledger.py`` that fails once upstream is fixed, so that no patch outlives its reason.
"""
