"""What is only watched shows no actions, to any method and any of its variants."""

import numpy as np
import pytest

from tests.support.case import differing, trajectory_cases, weights_of
from tests.support.envs import make_store
from tests.support.matrix import marks_of_variant

VARIANTS = [
    pytest.param(case, variant, id=f"{case.name}-{name}", marks=marks_of_variant(case, name))
    for case in trajectory_cases()
    if case.algorithm.needs.stream
    for name, variant in case.variants.items()
]


def poisoned(action):
    """A stream whose actions are NaN; for whole numbers, which have none, what no environment offers."""
    stream = make_store(action=action, seed=1)
    actions = stream._table.arrays.arrays
    column = actions["actions"] if "actions" in actions else actions["packed"]["actions"]
    column[:] = np.nan if action == "box" else 6
    spoilt = stream.take("actions", stream.steps)
    assert np.isnan(spoilt).all() if action == "box" else (spoilt == 6).all()
    return stream


@pytest.mark.parametrize(("case", "variant"), VARIANTS)
@pytest.mark.parametrize("action", ["discrete", "box"])
def test_poisoned_actions_of_a_stream_change_nothing(case, variant, action):
    def learned(stream):
        return weights_of(case.make(case.env(action=action), stream=stream, **variant).learn(48))

    clean = learned(make_store(action=action, seed=1))
    assert not differing(clean, learned(poisoned(action)))
    assert not differing(clean, learned(make_store(action=action, seed=1, actions=False)))
