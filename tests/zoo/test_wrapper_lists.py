"""Lists of wrappers that blocks share by name."""

import pytest
import yaml

from gcrl_zoo.registry import Method, discover
from gcrl_zoo.zoo.hyperparams import base_blocks, compose
from gcrl_zoo.zoo.wrapper_lists import FILE, with_wrapper_lists

LISTS = yaml.safe_load(FILE.read_text())
RETURN = "gcrl_zoo.wrappers.ReturnToGo"
UPRIGHT = {"gcrl_zoo.wrappers.Upright": {"threshold": 1}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("car_racing", LISTS["car_racing"]),
        (["car_racing", RETURN], [*LISTS["car_racing"], RETURN]),
        ([UPRIGHT, "car_racing"], [UPRIGHT, *LISTS["car_racing"]]),
        (RETURN, RETURN),
        ([UPRIGHT, RETURN], [UPRIGHT, RETURN]),
        (None, None),
    ],
)
def test_names_of_lists_are_replaced(tmp_path, given, expected):
    block = {"env_wrapper": given, "n_envs": 2}
    assert with_wrapper_lists(block, tmp_path) == {"env_wrapper": expected, "n_envs": 2}
    (tmp_path / "m.yml").write_text(yaml.dump({"default": block}))
    assert compose(Method("m", object, None, tmp_path), None, "E-v0")[1]["env_wrapper"] == expected


def test_an_unknown_list_is_refused(tmp_path):
    (tmp_path / "m.yml").write_text("default: {env_wrapper: car_racin}")
    with pytest.raises(ValueError, match=r"m.yml has the env_wrapper 'car_racin', .* did you mean 'car_racing'\?$"):
        base_blocks(tmp_path / "m.yml")


def test_no_method_has_the_name_of_the_file_of_lists():
    assert FILE.stem not in discover()


@pytest.mark.parametrize("algo", discover())
def test_all_methods_see_the_same_frames_of_car_racing(algo):
    """So that one dataset fits all of them."""
    blocks = {key: block for key, block in base_blocks(discover()[algo].yaml).items() if key.startswith("CarRacing-v3")}
    for key, block in blocks.items():
        assert block["env_wrapper"][: len(LISTS["car_racing"])] == LISTS["car_racing"], key
