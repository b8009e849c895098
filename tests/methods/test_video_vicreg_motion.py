"""The inverse model of video_vicreg on images: what moves, and a later state than the next one."""

import pytest
import torch as th
from gymnasium.wrappers import FrameStackObservation
from stable_baselines3.common.vec_env import DummyVecEnv

from gcrl_zoo import VideoVICReg
from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.methods.video_vicreg.terms import inverse, label
from tests.cases.video_vicreg import CASE
from tests.support.case import batches_of, differing, weights_of
from tests.support.envs import PointEnv, make_store


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
    n_steps = batch.mask.shape[1]
    here, there = ({key: each[:, :n_steps].flatten(0, 1) for key, each in part.items()} for part in parts)
    with th.no_grad():
        th.testing.assert_close(model.policy.inverse(here, there), inferred(batch))
    black = batch._replace(later={key: th.zeros_like(each) for key, each in batch.later.items()})
    assert (inferred(black) != inferred(batch)).any()


@pytest.mark.parametrize("term", [inverse, label])
def test_steps_without_a_later_state_teach_nothing(term):
    """The episode ends before the state from which the inverse model would infer their action."""
    model = make(inverse_input="motion", context_length=1).learn(2)
    model.policy.set_training_mode(False)
    source = "labelled" if term is inverse else "unlabelled"
    batch = batches_of(model, 64)[source]
    kept = batch.later_mask[:, 0]
    assert 0 < kept.sum() < len(kept)

    def loss(batch):
        with th.no_grad():
            return term(model.outputs(source, batch))[0]

    fields = {key: value for key, value in batch._asdict().items() if value is not None}
    part = {
        key: {name: each[kept] for name, each in value.items()} if isinstance(value, dict) else value[kept]
        for key, value in fields.items()
    }
    th.testing.assert_close(loss(batch), loss(batch._replace(**part)))


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
    batches = [batches_of(model)[source] for source in ("labelled", "unlabelled")]
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


def test_the_noise_of_corrected_labels_is_not_cut_off_at_the_bounds():
    """Its mean would not be zero."""
    model = make(inverse_input="motion", calibrated_labels=True).learn(2)
    outputs = model.outputs("unlabelled", batches_of(model)["unlabelled"])
    outputs.labels = th.full_like(outputs.chosen, 3.0)
    loss, _ = label(outputs)
    th.testing.assert_close(loss, (outputs.chosen - 3).square().mean(-1)[outputs.inferable].mean())


def test_a_resumed_run_corrects_as_an_uninterrupted_one(tmp_path):
    whole, first = (
        make(inverse_input="motion", calibrated_labels=True),
        make(inverse_input="motion", calibrated_labels=True),
    )
    whole.learn(8)
    first.learn(4)
    first.save(tmp_path / "agent")
    again = VideoVICReg.load(tmp_path / "agent", env=first.get_env(), dataset=first.dataset, resume=True)
    again.learn(8)
    assert again.policy.calibration.weight > 0
    assert not differing(weights_of(whole), weights_of(again))


def test_new_weights_are_corrected_by_themselves():
    """The final updates train other networks, whose predictions have another slope."""
    settings = {"learning_starts": 8, "train_freq": 8, "gradient_steps": 2, "final_gradient_steps": 3}
    model = CASE.make(CASE.env("image", "box"), policy_kwargs={"calibrated_labels": True}, **settings).learn(40)
    rate = model.policy.calibration.rate
    assert model.policy.calibration.weight.item() == pytest.approx(1 - (1 - rate) ** 3)


@pytest.mark.parametrize(
    ("action", "policy_kwargs"),
    [
        ("discrete", {}),
        ("box", {"action_head": "bins"}),
        ("box", {"action_head_kwargs": {"loss": "l1"}}),
        ("box", {"inverse_arch": None}),
    ],
)
def test_only_means_are_corrected(action, policy_kwargs):
    settings = {"terms": {"inverse": 0.0, "label": 0.0, "vicreg": 0.0, "action": 1.0}}
    with pytest.raises(
        ValueError, match=r"calibrated_labels is True, but .*; leave it out, or use an inverse model, Box"
    ):
        CASE.make(CASE.env(action=action), policy_kwargs={"calibrated_labels": True, **policy_kwargs}, **settings)


def test_each_action_dimension_is_chosen():
    with pytest.raises(
        ValueError, match=r"calibrated_labels is \[True\], but an action has 2 dimensions; give one value"
    ):
        make(calibrated_labels=[True])


def test_movement_before_the_state_is_not_seen():
    """All frames of the later stack come after the state."""
    env = DummyVecEnv([lambda: FrameStackObservation(PointEnv("image", "box"), 3)])
    with pytest.raises(
        ValueError, match=r"inverse_horizon is 1, but with inverse_input 'motion' all frames of the later"
    ):
        CASE.make(env, policy_kwargs={"inverse_input": "motion"})


def test_the_next_state_is_read_only_if_a_term_needs_it():
    """Reading images takes time."""
    n_states = {}
    for weight in (0.0, 1.0):
        settings = {"inverse_horizon": 3, "terms": {"vicreg": weight}, "policy_kwargs": {"image_encoder": "compact"}}
        dataset = make_store("image", "box", n_episodes=4, length=8)
        model = CASE.make(CASE.env("image", "box"), dataset=dataset, **settings).learn(2)
        batches = batches_of(model)
        n_states[weight] = {each.observations["observation"].shape[1] - each.mask.shape[1] for each in batches.values()}
    assert n_states == {0.0: {0}, 1.0: {1}}
