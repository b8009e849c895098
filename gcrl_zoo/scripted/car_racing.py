"""A driver for CarRacing that reads the track from the simulator, at several levels of skill."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

#: Distance between the axles of the car, in the units of the track.
WHEELBASE = 3.24
#: Largest angle of the front wheels, in radians; larger steering actions have no further effect.
MAX_ANGLE = 0.4
#: Distance from the middle of the road beyond which the driver slows down, and the speed to which it does.
MAX_OFFSET, OFF_ROAD_SPEED = 6.5, 25
#: Deceleration that the driver expects of the brakes, in track units per second squared.
BRAKING = 25
#: Number of track points (3.5 units each) ahead in which the driver looks for curves.
LOOK_AHEAD = 20


@dataclass(frozen=True)
class Skill:
    """
    How well an episode is driven.

    :param top_speed: highest speed, in track units per second
    :param grip: lateral acceleration that the driver allows in curves
    :param mistakes: probability of a mistake at each decision
    """

    top_speed: float
    grip: float
    mistakes: float


#: From the best driver, without and with mistakes, to a slow one. Each is as frequent as the others.
SKILLS = (
    Skill(top_speed=100, grip=130, mistakes=0.0),
    Skill(top_speed=100, grip=130, mistakes=0.03),
    Skill(top_speed=80, grip=90, mistakes=0.04),
    Skill(top_speed=60, grip=60, mistakes=0.06),
    Skill(top_speed=35, grip=40, mistakes=0.06),
    Skill(top_speed=13, grip=30, mistakes=0.08),
)


class Driver:
    """
    Drives one car along the middle of the road by pure pursuit (Coulter 1992), at a speed that the curves ahead allow.
    Mistakes, which are wrong steering for a few decisions, show how to come back to the road (as the noise of DART,
    Laskey et al. 2017, `arXiv:1703.09327 <https://arxiv.org/abs/1703.09327>`_).

    :param car_racing: the unwrapped environment, just reset
    :param skill: of this episode
    :param rng: random numbers of the mistakes
    """

    def __init__(self, car_racing: Any, skill: Skill, rng: np.random.Generator) -> None:
        self.env, self.skill, self.rng = car_racing, skill, rng
        self.points = np.array([point[2:4] for point in car_racing.track])  # (N, 2)
        directions = np.roll(self.points, -1, axis=0) - self.points
        angles = np.unwrap(np.arctan2(directions[:, 1], directions[:, 0]))
        lengths = np.linalg.norm(directions, axis=1)
        turns = np.abs(np.angle(np.exp(1j * (np.roll(angles, -1) - angles))))
        #: (N,) curvature of the road, averaged over three points
        self.curvature = np.convolve(np.r_[turns[-1], turns, turns[0]], np.ones(3) / 3, "valid") / lengths.mean()
        self.spacing = float(lengths.mean())
        self.place = 0
        self.wrong_steps, self.wrong = 0, 0.0

    def act(self) -> np.ndarray:
        """Choose steering, gas and brake, (3,) float32."""
        if self.wrong_steps == 0 and self.rng.random() < self.skill.mistakes:
            self.wrong_steps = int(self.rng.integers(3, 7))
            self.wrong = float(self.rng.uniform(-0.3, 0.3))
        action = self.drive()
        if self.wrong_steps:
            self.wrong_steps -= 1
            action[0] += self.wrong
        return action

    def drive(self) -> np.ndarray:
        """Choose the action without a mistake, (3,) float32."""
        hull = self.env.car.hull
        position, speed = np.array(hull.position), float(np.linalg.norm(hull.linearVelocity))
        self._find_place(position)
        off_road = float(np.linalg.norm(self.points[self.place] - position)) > MAX_OFFSET
        wanted = min(self._speed_for_curves(), OFF_ROAD_SPEED if off_road else math.inf)
        steering = self._steering(hull, speed)
        gas = float(np.clip(0.08 * (wanted - speed), 0, 1)) * (1 - 0.6 * abs(steering) / MAX_ANGLE)
        brake = float(np.clip(0.04 * (speed - wanted - 3), 0, 0.8))
        return np.array([steering, gas, brake], dtype=np.float32)

    def _steering(self, hull: Any, speed: float) -> float:
        """Choose the angle of the wheels for an arc to a point of the road ahead, the further the faster the car is."""
        ahead = max(1, round((5 + 0.22 * speed) / self.spacing))
        x, y = hull.GetLocalPoint(self.points[(self.place + ahead) % len(self.points)])  # x to the right, y forward
        if y <= 0:  # the point is behind the car
            return math.copysign(MAX_ANGLE, x)
        angle = math.atan(2 * WHEELBASE * x / (x * x + y * y))
        return float(np.clip(1.3 * angle, -MAX_ANGLE, MAX_ANGLE))

    def _find_place(self, position: np.ndarray) -> None:
        """Find the nearest track point, at most 30 points ahead of the last one: the road may pass nearby twice."""
        n = len(self.points)
        near = (self.place + np.arange(-10, 31)) % n
        self.place = int(near[np.linalg.norm(self.points[near] - position, axis=1).argmin()])

    def _speed_for_curves(self) -> float:
        """Return the highest speed from which the car can still slow down before each of the curves ahead."""
        distances = np.arange(LOOK_AHEAD) * self.spacing
        curvature = self.curvature[(self.place + np.arange(LOOK_AHEAD)) % len(self.curvature)]
        limits = np.sqrt(self.skill.grip / np.maximum(curvature, 1e-3))
        return min(self.skill.top_speed, float(np.sqrt(limits**2 + 2 * BRAKING * distances).min()))


class Drivers:
    """
    A policy for ``python -m gcrl_zoo.record``: a driver for each environment, with a new skill in each episode. The
    seed of the episode decides the skill and the mistakes.

    :param env: CarRacing environments in this process, in any wrappers
    :param skills: levels of skill, of which each episode uses a random one
    """

    def __init__(self, env: VecEnv, skills: Sequence[Skill]) -> None:
        self.cars = env.get_attr("unwrapped")
        self.skills = skills
        self.drivers: list[Driver | None] = [None] * env.num_envs

    def start(self, car_racing: Any) -> Driver:
        """
        Make the driver of an episode.

        :param car_racing: the unwrapped environment, just reset
        """
        rng = np.random.default_rng([car_racing.np_random_seed, 1])
        return Driver(car_racing, self.skills[int(rng.integers(len(self.skills)))], rng)

    def predict(
        self,
        observation: Any,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        Choose actions, as SB3's ``predict``. Observations are not used.

        :param observation: of E environments
        :param state: not used
        :param episode_start: (E,) bool, where an episode starts
        :param deterministic: not used
        :return: (E, 3) float32, and the state
        """
        actions = []
        for index, car in enumerate(self.cars):
            driver = self.drivers[index]
            if driver is None or episode_start is None or episode_start[index]:
                driver = self.drivers[index] = self.start(car)
            actions.append(driver.act())
        return np.stack(actions), state


def driver(env: VecEnv) -> Drivers:
    """
    Make drivers of all levels of skill.

    :param env: CarRacing environments in this process, in any wrappers
    """
    return Drivers(env, SKILLS)


def best_driver(env: VecEnv) -> Drivers:
    """
    Make drivers that make no mistakes.

    :param env: CarRacing environments in this process, in any wrappers
    """
    return Drivers(env, SKILLS[:1])
