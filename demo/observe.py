"""Dense features as the observations of an environment of gymnasium (pip install gymnasium).

python demo/observe.py --out out/observation.npy
"""

import argparse
from pathlib import Path

import gymnasium
import numpy as np

import densevl
from densevl.core.images import read_image


class DenseObservations(gymnasium.ObservationWrapper):
    """Dense features in the place of images."""

    def __init__(self, env, model, side=3):
        super().__init__(env)
        self.model, self.side = model, side
        shape = model.grid(np.zeros((32, 32, 3), np.uint8), side).shape
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, shape, np.float32)

    def observation(self, image):
        return self.model.grid(image, self.side)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini", help="as `densevl models` lists them (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("observation.npy"), help="(default: %(default)s)")
    options = parser.parse_args()
    env = gymnasium.Env()  # an environment that shows one image
    env.reset = lambda **settings: (read_image(Path(__file__).parent / "images" / "garden.png"), {})
    observation, _ = DenseObservations(env, densevl.load(options.model)).reset(seed=0)
    print(f"{observation.shape} {observation.dtype}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    np.save(options.out, observation)
