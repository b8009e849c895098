"""
The only room that knows rl_zoo3. :mod:`~gcrl_zoo.zoo.hook` runs our code right after four upstream modules load:

=============================  ================================================  ===========================
module                         what we do to it                                  where
=============================  ================================================  ===========================
``rl_zoo3.utils``              add our algorithms to ``ALGOS``                   ``register.add_algorithms``
``rl_zoo3.hyperparams_opt``    add our samplers and converters                   ``register.add_search_spaces``
``rl_zoo3.exp_manager``        find our YAML and presets; register environments  ``experiment.patch``
``huggingface_sb3.push_to_hub``  restore a name that rl_zoo3 imports             ``hub.patch``
=============================  ================================================  ===========================

The ledger of what upstream lacks (rl_zoo3 2.9.2, sb3-team-hf-integration 3.2) is ``docs/architecture.md``. Each entry
has a test in ``tests/test_zoo_ledger.py`` that fails once upstream is fixed, so that no patch outlives its reason.
"""
