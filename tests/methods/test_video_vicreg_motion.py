"""The inverse model of video_vicreg on images: what moves, and a later state than the next one."""

import pytest
import torch as th

from gcrl_zoo.common.device import to_tensors
from tests.cases.video_vicreg import CASE
from tests.support.case import batches_of
from tests.support.envs import make_store


def make(**policy_kwargs):
    """An agent that learns from images."""
    dataset = make_store("image", "box", n_episodes=4, length=8)
    return CASE.make(
        CASE.env("image", "box"),
        dataset=dataset,
        inverse_horizon=3,
        policy_kwargs={"image_encoder": "compact", **policy_kwargs},
    )


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("inverse_input", ["frames", "motion"])
def test_the_inverse_model_sees_later_states(inverse_input, shared):
    model = make(inverse_input=inverse_input, shared_encoder=shared).learn(2)
    model.policy.set_training_mode(False)
    batch = to_tensors(batches_of(model)["labelled"], model.device)
    assert batch.later is not None

    def inferred(batch):
        with th.no_grad():
            return model.policy.infer_actions(batch, model.policy.encode_states(batch.observations))

    parts = batch.observations, batch.later
    here, there = ({key: each[:, :3].flatten(0, 1) for key, each in part.items()} for part in parts)
    with th.no_grad():
        th.testing.assert_close(model.policy.inverse(here, there), inferred(batch))
    black = batch._replace(later={key: th.zeros_like(each) for key, each in batch.later.items()})
    assert (inferred(black) != inferred(batch)).any()


def test_motion_leaves_the_encoder_to_the_policy():
    model = make(inverse_input="motion")
    own = {id(p) for p in model.policy.inverse.parameters()}
    assert not own & {id(p) for p in model.policy.encoder.parameters()}
    assert model.policy.inverse.encoder.features_dim == 0


def test_motion_needs_images():
    with pytest.raises(ValueError, match=r"inverse_input is 'motion', but the observation has no image.*use 'frames'"):
        CASE.make(policy_kwargs={"inverse_input": "motion"})


def test_labels_are_corrected_for_the_shrinkage_in_own_play():
    model = make(inverse_input="motion", calibrated_labels=True).learn(3)
    policy = model.policy
    policy.set_training_mode(False)
    batches = (
        to_tensors(batches_of(model)["labelled"], model.device),
        to_tensors(batches_of(model)["unlabelled"], "cpu"),
    )
    before = policy.calibration.moments.clone()
    for source, batch in zip(("labelled", "unlabelled"), batches, strict=True):
        outputs = model.outputs(source, batch)
        inferred = policy.infer_actions(batch, None).detach()
        th.testing.assert_close(outputs.labels, policy.calibration(inferred))
        th.testing.assert_close(outputs.inferred, inferred)  # which learns from the true actions
        assert (outputs.labels - inferred).abs().max() > 0.01
    assert policy.calibration.moments.equal(before)
    model.compute_loss({"unlabelled": batches[1]})
    assert policy.calibration.moments.equal(before)
    model.compute_loss({"labelled": batches[0]})
    assert not policy.calibration.moments.equal(before)


@pytest.mark.parametrize(("action", "head"), [("discrete", "auto"), ("box", "bins")])
def test_only_means_are_corrected(action, head):
    with pytest.raises(ValueError, match=r"calibrated_labels is True, but the head \w+ predicts no mean action; leave"):
        CASE.make(CASE.env(action=action), policy_kwargs={"calibrated_labels": True, "action_head": head})
