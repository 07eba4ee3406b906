"""The tri-plane generator: latents, planes, swaps, and every fast path against its slow twin."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from fface_hub.cameras import look_at
from fface_hub.errors import ModelError
from fface_hub.generators.lookup import NOTHING, look_up_slow
from fface_hub.generators.triplane import UNLABELLED, TriplaneGenerator, TriplaneScene
from fface_hub.latents import Latents
from fface_hub.rendering.renderer import Sampling, render, render_rays
from tests.tiny import PAIR, SIZES

SILENT = {**PAIR, "noise": False}
SINGLE = {**SIZES, "z_dim": 6}
FEW = Sampling(12, 12)


def make(config: dict[str, Any]) -> TriplaneGenerator:
    """A generator with fixed random weights, solid enough to see."""
    torch.manual_seed(0)
    generator = TriplaneGenerator(**config).eval()
    last = (generator.decoder.net if config.get("decoder") == "eg3d" else generator.decoder.geo_net)[2]
    last.bias.data[0] = 3
    return generator


@pytest.fixture(scope="module")
def pair() -> TriplaneGenerator:
    return make(SILENT)


@pytest.fixture(scope="module")
def single() -> TriplaneGenerator:
    return make(SINGLE)


def points_and_directions(batch: int, scale: float = 1.2) -> tuple[Tensor, Tensor]:
    """Random points in and around the cube."""
    random = torch.Generator().manual_seed(3)
    points = (torch.rand(batch, 9, 7, 3, generator=random) - 0.5) * scale
    return points, torch.nn.functional.normalize(torch.randn(batch, 9, 3, generator=random), dim=-1)


def test_default_config_has_the_published_number_of_parameters() -> None:
    # EG3D's FFHQ models: synthesis 28,207,533, mapping 800,768, super-resolution 1,649,578 (4 of them the strengths of unused noise).
    # Decoders: EG3D 4,257 (30,662,136 in all); NeRFFaceEditing 3,152 + 4,192 (30,665,223 in all).
    for decoder, total in (("eg3d", 30_662_136), ("disentangled", 30_665_223)):
        with torch.device("meta"):
            generator = TriplaneGenerator(decoder=decoder)
        counts = {name: sum(p.numel() for p in part.parameters()) for name, part in generator.backbone.named_children()}
        assert counts == {"mapping": 800_768, "synthesis": 28_207_533}
        assert sum(p.numel() for p in generator.parameters()) == total - 4


# ---- latents ----


def test_rows_of_the_official_sizes() -> None:
    with torch.device("meta"):
        sizes = {n: TriplaneGenerator(**{**SINGLE, "plane_resolution": n}) for n in (64, 128, 256)}
    assert {n: g.num_rows for n, g in sizes.items()} == {64: 10, 128: 12, 256: 14}
    assert list(sizes[256].late_rows) == [9, 10, 11, 12, 13]
    assert list(sizes[128].late_rows) == [8, 9, 10, 11]


def test_pair_mapping_gives_early_rows_to_geometry_and_late_rows_to_appearance(pair: TriplaneGenerator) -> None:
    z, other = torch.randn(2, 4), torch.randn(2, 3)
    rows = pair.map(z, other).geometry
    assert rows.shape == (2, 6, 16) and list(pair.late_rows) == [4, 5]
    moved = pair.map(z, other + 1).geometry
    assert torch.equal(moved[:, :4], rows[:, :4]) and not torch.equal(moved[:, 4:], rows[:, 4:])
    moved = pair.map(z + 1, other).geometry
    assert torch.equal(moved[:, 4:], rows[:, 4:]) and not torch.equal(moved[:, :4], rows[:, :4])


def test_samples_follow_the_seed_not_the_count(pair: TriplaneGenerator, single: TriplaneGenerator) -> None:
    for generator in (pair, single):
        three = generator.sample(3, seed=7)
        torch.testing.assert_close(generator.sample(1, seed=7).geometry, three.geometry[:1])
        assert not torch.allclose(generator.sample(1, seed=8).geometry, three.geometry[:1])
        assert torch.equal(three.appearance[:, 0], three.geometry)


def test_truncation_pulls_towards_the_mean_of_many() -> None:
    for config in (SILENT, SINGLE):
        generator = make(config)
        generator.update_mean(count=512, seed=1)
        many = generator.sample(512, seed=1, truncation=1.0).geometry.mean(0)
        mean = generator.mean_latents().geometry[0]
        torch.testing.assert_close(many, mean, rtol=1e-4, atol=1e-5)
        full, half = (generator.sample(2, seed=5, truncation=t).geometry for t in (1.0, 0.5))
        torch.testing.assert_close(half, mean + 0.5 * (full - mean))
        torch.testing.assert_close(generator.sample(2, seed=5, truncation=0.0).geometry, mean.expand(2, -1, -1))


# ---- planes and scenes ----


def test_plane_convention(single: TriplaneGenerator) -> None:
    """The point (1, 2, 3) falls on (1, 2), (1, 3) and (3, 1) of the three planes: width first. There is no yz plane."""
    scene = single.scene(single.mean_latents())
    coordinates = scene._grid(torch.tensor([0.1, 0.2, 0.3]).reshape(1, 1, 1, 3))  # box_warp 1 doubles them
    assert coordinates.flatten(0, 2)[0].tolist() == [pytest.approx(p) for p in ([0.2, 0.4], [0.2, 0.6], [0.6, 0.2])]


def test_coverage_is_the_share_of_a_look_up_inside_the_plane(single: TriplaneGenerator) -> None:
    # Texel centres lie at x = (i + .5)/16 − .5: x = −.5 is half-way between texel 0 and nothing, x = .7 is outside.
    points = torch.tensor([[0.0, 0, 0], [-0.5, 0, 0], [0.7, 0, 0]])[None, None]
    assert single.scene(single.mean_latents()).coverage(points)[0, 0, :, 0].tolist() == pytest.approx([1, 0.5, 0])


@torch.no_grad()
def test_one_look_up_equals_a_look_up_in_denormalised_planes(pair: TriplaneGenerator) -> None:
    """The slow twin samples F̂·s + μ as a second set of planes, inside, across and outside the border of the cube."""
    scene = pair.scene(pair.sample(2, 1).with_appearance(pair.sample(2, 2)))
    points, directions = points_and_directions(2)
    samples = scene.geometry(points, directions)
    mean, std = (s[..., None, None] for s in (scene.statistics.mean, scene.statistics.std))
    twice = look_up_slow(scene.planes * std + mean, scene._grid(points).flatten(1, 2)).unflatten(1, points.shape[1:3])
    slow = pair.decoder.color(twice.mean(3))
    torch.testing.assert_close(scene.color(samples), slow, rtol=1e-4, atol=1e-5)
    from_points = scene.color(type(samples)(points, samples.density, samples.features, samples.logits))
    torch.testing.assert_close(from_points, slow, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_swapping_the_appearance_moves_colour_and_nothing_else(pair: TriplaneGenerator) -> None:
    a, b = pair.sample(1, 1), pair.sample(1, 2)
    own, swapped = (render(pair.scene(x), look_at(10.0), 12, FEW) for x in (a, a.with_appearance(b)))
    assert torch.equal(own.depth, swapped.depth) and torch.equal(own.logits, swapped.logits)
    assert float((own.image - swapped.image).abs().mean()) > 0.01


@torch.no_grad()
def test_equal_halves_need_no_second_pass(pair: TriplaneGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    latents = pair.sample(1, 1)
    apart = Latents(latents.geometry, latents.appearance.clone())
    once = pair.scene(latents)
    monkeypatch.setattr(TriplaneGenerator, "_same", lambda *_: False)
    monkeypatch.setattr(TriplaneGenerator, "_weights_version", lambda *_: None)
    twice = pair.scene(apart)
    assert once.planes is not twice.planes
    torch.testing.assert_close(once.statistics.std, twice.statistics.std)
    torch.testing.assert_close(once.planes, twice.planes)


def test_one_variable_is_told_from_two_that_share_memory(pair: TriplaneGenerator) -> None:
    w = torch.zeros(1, pair.num_rows, 16, requires_grad=True)
    rows = w + 1  # as `map` gives them: the appearance is a view of the geometry
    assert pair._same(rows, rows[:, None][:, 0]) and pair._same(w, w) and pair._same(w.reshape(1, 1, -1, 16)[:, 0], w)
    assert not pair._same(w, w.detach()) and not pair._same(w, w.detach().requires_grad_())
    assert not pair._same(rows, rows[:, :1].expand_as(rows))  # the first row for all, at the same address


def test_an_edit_starts_with_the_gradient_of_held_statistics(pair: TriplaneGenerator) -> None:
    """Geometry that equals the appearance in value must still not move the statistics: only one of the two is being edited."""
    held = pair.sample(1, 1).detach()
    geometry = held.geometry.clone().requires_grad_()
    scene = pair.scene(Latents(geometry, held.appearance))
    assert not torch.autograd.grad(scene.planes.square().mean() + scene.planes[..., :4].mean(), geometry)[0].eq(0).all()
    statistics = pair.scene(Latents(geometry, held.appearance)).statistics
    gradient = torch.autograd.grad(statistics.std.sum() + 0 * geometry.sum(), geometry)[0]
    assert gradient.abs().max() == 0


def test_statistics_are_kept_while_nothing_moves_and_only_then() -> None:
    generator = make(SILENT).requires_grad_(False)
    calls: list[int] = []
    planes = generator.planes
    generator.planes = lambda rows, noise=True: (calls.append(1), planes(rows, noise))[1]  # type: ignore[method-assign]
    latents = generator.sample(1, 1).with_appearance(generator.sample(1, 2))
    first = generator.scene(latents).statistics
    assert len(calls) == 2  # geometry and appearance
    assert generator.scene(latents).statistics is first and len(calls) == 3
    generator.scene(latents.with_appearance(generator.sample(1, 3)))
    assert len(calls) == 5
    assert generator.scene(latents).statistics is first and len(calls) == 6  # two people who edit in turn keep theirs
    generator.backbone.synthesis.b4.const.add_(0.1)
    generator.scene(latents.with_appearance(generator.sample(1, 3)))
    assert len(calls) == 8


def test_a_scene_is_found_again_while_somebody_has_it() -> None:
    generator = make({**SILENT, "background": "latent"}).requires_grad_(False)
    latents = generator.sample(1, 1)
    scene = generator.scene(latents)
    assert generator.scene(Latents(latents.geometry.clone(), latents.appearance.clone())) is scene
    others = [generator.scene(latents.with_appearance(generator.sample(1, 2))), generator.scene(generator.sample(1, 2))]
    rows = latents.geometry.clone().requires_grad_()
    others.append(generator.scene(Latents(rows, latents.appearance)))
    assert scene not in others and others[-1].planes.requires_grad
    twin = copy.deepcopy(generator)  # as tuning makes one
    assert twin.scene(latents).generator is twin and generator.scene(latents) is scene
    generator.set_precision(torch.bfloat16)
    assert generator.scene(latents) is not scene
    generator.set_precision(torch.float32)
    assert generator.scene(latents) is scene
    assert generator.background is not None
    generator.background.weight.mul_(0.5)
    darker = generator.scene(latents)
    assert darker is not scene and not torch.equal(darker.background_color, scene.background_color)  # type: ignore[arg-type]


def test_gradients_reach_everything(pair: TriplaneGenerator) -> None:
    generator = make(SILENT)
    latents = generator.map(torch.randn(2, 4), torch.randn(2, 3))
    origins, directions = look_at(torch.tensor([0.0, 20.0])).rays(4)
    rays = render_rays(generator.scene(latents), origins, directions, FEW)
    (rays.color.square().sum() + rays.logits.square().sum() + rays.depth.sum()).backward()
    still = [name for name, p in generator.named_parameters() if p.grad is None or float(p.grad.abs().max()) == 0]
    assert not still


def test_backgrounds() -> None:
    behind = {}
    for name in ("black", "white", "latent"):
        generator = make({**SILENT, "background": name})
        behind[name] = generator.scene(generator.sample(2, 1)).background(torch.zeros(2, 7, 3))
    assert behind["black"] is None and behind["white"].eq(1).all()
    assert behind["latent"].shape == (2, 7, 3) and behind["latent"].abs().max() < 1
    assert torch.equal(behind["latent"][:, 0], behind["latent"][:, 6]) and not torch.equal(behind["latent"][0], behind["latent"][1])


def test_nothing_is_outside_the_cube_unless_the_background_is_in_the_volume() -> None:
    # The last of 16 texels begins at ±0.5 · 7/8.
    points = torch.tensor([[0.1, -0.2, 0.43], [0.1, -0.2, 0.44], [-0.44, 0.0, 0.0], [0.0, 0.6, -0.6], [0.43, 0.43, -0.43]])
    outside = torch.tensor([False, True, True, True, False])
    for name in ("black", "white", "latent"):
        scene = make({**SILENT, "background": name}).scene(make(SILENT).sample(1, 1))
        field = scene.field()
        assert field is not None
        with torch.no_grad():
            slow = scene.geometry(points[None, None], torch.tensor([[[0.0, 0.0, -1.0]]])).density[0, 0]
            fast = field.density(points, 0)[0]
        assert ((torch.stack([slow, fast]) == NOTHING) == (outside & (name != "black"))).all(), name
        assert (slow - fast).abs().max() < 1e-5, name


def test_background_comes_from_the_last_row_of_the_appearance(pair: TriplaneGenerator) -> None:
    a, b = pair.sample(1, 1), pair.sample(1, 2)
    behind = [pair.scene(x).background_color for x in (a, b, a.with_appearance(b))]
    assert torch.equal(behind[2], behind[1]) and not torch.equal(behind[2], behind[0])


def test_plain_decoder_has_colour_depth_and_one_class() -> None:
    generator = make({**SINGLE, "decoder": "eg3d"})
    scene = generator.scene(generator.sample(1, 1))
    assert generator.layout == UNLABELLED and len(scene.layout) == 1
    planes = generator.planes(generator.sample(1, 1).geometry)
    torch.testing.assert_close(scene.planes, planes, rtol=1e-4, atol=1e-4)
    out = render(scene, look_at(0.0), 8, FEW)
    assert out.labels.eq(0).all() and out.opacity.max() > 0.5


def test_noise_can_be_left_out_of_a_call() -> None:
    generator = make(SINGLE)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(0.5)
    rows = generator.sample(1, 1).geometry
    assert not torch.allclose(generator.planes(rows), generator.planes(rows, noise=False))
    assert torch.equal(generator.planes(rows), generator.planes(rows))  # constant, not random


# ---- what does not fit ----


def test_foreign_latents_are_refused_in_one_sentence(pair: TriplaneGenerator) -> None:
    with pytest.raises(ModelError, match="made with this generator"):
        pair.scene(Latents(torch.zeros(1, 14, 512), torch.zeros(1, 1, 14, 512)))
    rows = pair.sample(1, 1).geometry
    with pytest.raises(ModelError, match="one appearance"):
        pair.scene(Latents(rows, rows[:, None].expand(-1, 2, -1, -1)))


@pytest.mark.parametrize(
    "change",
    [
        {"plane_resolution": 48},
        {"layout": "none-7"},
        {"plane_axes": ["xw"]},
        {"plane_axes": []},
        {"plane_axes": ["xy"] * 17},
        {"appearance_z_dim": 0},
        {"mapping_layers": 2**24},  # sixteen million layers, built one by one
        {"z_dim": 0},
        {"channel_base": 15},  # no channel is left for 16² pixels
        {"far": 2.0},
        {"box_warp": 0.0},
    ],
)
def test_impossible_configs_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        TriplaneGenerator.from_config({**SILENT, **change})


def test_super_resolution_needs_the_style_row() -> None:
    with torch.device("meta"):
        generator = TriplaneGenerator(**{**SINGLE, "color_channels": 4, "superresolution": "8x_dc"})
    scene: TriplaneScene = generator.scene_from(torch.zeros(1, 3, 8, 16, 16), generator.normalise(torch.zeros(1, 3, 8, 16, 16))[1])
    rendering = Ellipsis
    with pytest.raises(ValueError, match="style row"):
        scene.finish(rendering)  # type: ignore[arg-type]
