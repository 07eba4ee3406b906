"""The benchmark invert on balls: its figures by hand, its rows, and that a stopped run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fface_hub.benchmarks import INVERT_METHODS, invert
from fface_hub.benchmarks.invert import FEW, Plan, Sight, draw_sights, merged, photo_yaw, run, summary
from fface_hub.benchmarks.invert_original import OriginalSettings, original
from fface_hub.cameras import Camera, look_at
from fface_hub.errors import ModelError
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.heads.config import HELD_OUT_SEED
from fface_hub.inversion.objective import InvertSettings
from fface_hub.inversion.pose import rotation_error
from fface_hub.latents import Latents
from fface_hub.layouts import BASE_15
from fface_hub.metrics import psnr
from fface_hub.perceptual import load_perceptual
from fface_hub.rendering.renderer import render
from tests.balls import Balls, ball_config
from tests.tiny import random_generator, solid_generator

FEWEST = InvertSettings(
    resolution=16, rays=64, coarse=4, fine=4, w_steps=2, free_steps=1, tuning_steps=2, detail=16, texels=16, backdrop=False
)
SHORT = OriginalSettings(latent_steps=2, tuning_steps=2, side=16, coarse=4, fine=4)
PLAN = Plan(heads=2, few=1, resolution=32, settings=FEWEST, longer=FEWEST, pivotal=FEWEST, original=SHORT)


def generator() -> TriplaneGenerator:
    return random_generator(**ball_config().generator)


class Answer:
    """An encoder that knows which ball it is."""

    def __init__(self, model: TriplaneGenerator) -> None:
        self.latents = model.sample(1, 1)

    def check(self, generator: Any) -> None:
        pass

    def encode(self, image: torch.Tensor, labels: torch.Tensor | None = None) -> tuple[Latents, Camera]:
        return self.latents, look_at(0.0)


def test_four_classes_by_hand() -> None:
    names = ["background", "skin", "hair", "hat", "cloth", "necklace", "nose", "neck", "glasses"]
    labels = torch.tensor([BASE_15.index(name) for name in names])
    assert merged(labels).tolist() == [0, 2, 1, 1, 3, 3, 2, 2, 2]


def test_camera_errors_are_angles() -> None:
    assert rotation_error(look_at(12.0), look_at(12.0)) == pytest.approx(0, abs=0.05)
    # Cameras look at a point .2 before the middle that their angles are about: atan(2.7 sin 20° / (2.7 cos 20° − .2)) = 21.56°, and 16.18°
    # for −15°; 10.80° for a pitch of 10°.
    assert rotation_error(look_at(20.0), look_at(-15.0)) == pytest.approx(37.74, abs=1e-2)
    assert rotation_error(look_at(0.0, 10.0), look_at(0.0)) == pytest.approx(10.80, abs=1e-2)


def test_photos_are_taken_from_five_sides() -> None:
    yaws = [photo_yaw(HELD_OUT_SEED + index) for index in range(40)]
    assert set(yaws) == {0.0, 20.0, -20.0, 40.0, -40.0} and yaws == [photo_yaw(HELD_OUT_SEED + index) for index in range(40)]


def test_the_truth_of_a_ball() -> None:
    front, side = draw_sights(Balls(), 3, [0.0, 90.0], 32)
    assert front.image.shape == (1, 3, 32, 32) and front.labels.shape == (1, 32, 32) and front.depth.shape == (1, 1, 32, 32)
    radius = 0.3 + 0.05 * torch.tanh(torch.tensor(Balls().latents(3)[0][0])).item()
    # Seen from 2.7 away the nearest point is a radius before the middle; the picture is aimed at it but for the pixel's half.
    assert side.depth.min().item() == pytest.approx(2.7 - radius, abs=2e-3)
    assert set(front.labels.unique().tolist()) <= {0, BASE_15.index("skin"), BASE_15.index("hair")}


def test_rows_are_averaged_and_compared_where_all_ran() -> None:
    rows = [("a", 1, 10.0), ("a", 2, 20.0), ("b", 2, 5.0)]
    figures = summary([{"key": "k", "method": name, "seed": seed, "input_psnr": value} for name, seed, value in rows])
    assert figures["methods"] == {"a": {"heads": 2, "input_psnr": 15.0}, "b": {"heads": 1, "input_psnr": 5.0}}
    assert figures["compared"] == {"a": {"heads": 1, "input_psnr": 20.0}, "b": {"heads": 1, "input_psnr": 5.0}}
    assert figures["heads"] == 2
    unknown = summary([{"key": "k", "method": "a", "seed": seed, "side_depth_error": value} for seed, value in ((1, None), (2, 0.5))])
    assert unknown["methods"]["a"]["side_depth_error"] == 0.5 and unknown["heads"] == 2


def test_slow_methods_run_on_few_heads() -> None:
    runs = Plan(heads=3, few=1).runs()
    assert [method for seed, method in runs if seed == HELD_OUT_SEED] == list(INVERT_METHODS)
    assert not {method for seed, method in runs if seed > HELD_OUT_SEED} & set(FEW)
    with pytest.raises(ModelError, match="no method 'best'"):
        Plan(methods=("best",))


def test_all_methods_are_measured_and_a_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, told, progress = generator(), [], tmp_path / "f.json.progress.jsonl"
    figures = run(model, told.append, PLAN, progress, Balls(), Answer(model))
    assert list(figures["methods"]) == list(INVERT_METHODS)
    assert [row["heads"] for row in figures["methods"].values()] == [1, 1, 2, 2, 2, 2, 2]
    names = {f"{part}_{name}" for part in ("input", "front", "side") for name in
             ("psnr", "psnr_head", "ssim", "lpips", "miou", "miou_merged", "depth_error")}  # fmt: skip
    for method, row in figures["methods"].items():
        assert names | {"seconds", "cpu_seconds", "steps", "camera_error_degrees", "heads"} == set(row), method
        assert row["seconds"] > 0 or method == "oracle", method
        assert all(isinstance(row[name], float) for name in names if "depth" not in name)
    assert figures["methods"]["original-posed"]["camera_error_degrees"] < 0.1
    assert figures["methods"]["ours"]["steps"] == 5 and figures["methods"]["original"]["steps"] == 4
    assert figures["original_full_size_seconds"] > 0 and figures["lpips_trunk"] == "heads-parser"
    assert told[-1].index == told[-1].total == 12
    assert json.loads(json.dumps(figures)) == figures

    def never(*arguments: object) -> Any:
        raise AssertionError("a finished row was made again")

    monkeypatch.setattr(invert._Bench, "measure", never)
    again = run(model, None, PLAN, progress, Balls(), Answer(model))
    assert again["methods"] == figures["methods"]


def test_rows_of_other_numbers_or_devices_are_others() -> None:
    model = generator()
    bench = invert._Bench(model, Answer(model), Balls(), PLAN, load_perceptual())
    key = bench.key(HELD_OUT_SEED, "ours")
    assert bench.key(HELD_OUT_SEED, "ours") == key
    model.set_precision(torch.bfloat16)
    other = bench.key(HELD_OUT_SEED, "ours")
    model.set_precision(torch.float32)
    bench.device = torch.device("cuda")
    assert len({key, other, bench.key(HELD_OUT_SEED, "ours")}) == 3


def test_the_original_fits_the_photo_with_a_frozen_camera() -> None:
    model = solid_generator()
    camera = look_at(10.0)
    photo = render(model.scene(model.sample(1, 3, 1.0)), camera, 32).image
    settings = OriginalSettings(latent_steps=30, tuning_steps=30, latent_rate=0.05, tuning_rate=3e-3, side=16, coarse=8, fine=8)
    heard: list[int] = []
    found = original(model, photo, camera, load_perceptual(), settings, heard.append)
    assert heard == list(range(1, 61)) and found.camera is camera and found.generator is not model
    late = model.late_rows.start
    early, rest = found.latents.geometry[0, :late], found.latents.geometry[0, late:]
    assert torch.equal(early, early[:1].expand_as(early)) and torch.equal(rest, rest[:1].expand_as(rest))  # one w for each half
    mean = render(model.scene(model.mean_latents()), camera, 32).image
    assert psnr(render(found.scene(), camera, 32).image, photo).item() > psnr(mean, photo).item() + 1


def test_other_generators_are_refused() -> None:
    with pytest.raises(ModelError, match="not trained on rendered heads"):
        run(random_generator(mapping="single", z_dim=4, latent_dim=16, plane_resolution=16, channel_base=128, channel_max=8), plan=PLAN)
    with pytest.raises(ModelError, match="paint samples on its own faces"):
        run(solid_generator(), plan=PLAN, source=Balls())
    assert isinstance(draw_sights(Balls(), 0, [0.0], 16)[0], Sight)
