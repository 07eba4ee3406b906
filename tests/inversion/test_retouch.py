"""Retouches: colours added in the volume, by hand, before fast and slow renderers, fitted to pictures, and saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fface_hub import edit
from fface_hub.cameras import look_at
from fface_hub.editing.edit import EditSettings
from fface_hub.editing.transfer import transfer
from fface_hub.errors import CancelledError, ModelError
from fface_hub.inversion.inversion import RETOUCH_FILE, Inversion
from fface_hub.inversion.looks import Look
from fface_hub.inversion.objective import InvertSettings
from fface_hub.inversion.retouch import Retouch, RetouchedScene, roughness_gradient
from fface_hub.inversion.retouch_fit import Rays, _hidden_points, _planes, _solve, fit_retouch
from fface_hub.metrics import psnr
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling
from tests.tiny import new_solid_generator, solid_generator

FEW = InvertSettings(coarse=12, fine=12, detail=24, texels=24, tuning_steps=30, plain=0.01, smooth=0.01, unseen=0.5)
SAMPLING = Sampling(12, 12)


@pytest.fixture
def retouch(rng: torch.Generator) -> Retouch:
    return Retouch(0.2 * torch.randn(3, 3, 8, 8, generator=rng), 0.5)


def face() -> Inversion:
    generator = solid_generator()
    return Inversion(generator.sample(1, 3, 1.0), generator.default_camera, generator)


def test_a_point_gets_the_sum_of_three_planes_by_hand() -> None:
    # Planes of 2 × 2 texels over the cube of half side 1: centres lie at ±0.5.
    planes = torch.zeros(3, 3, 2, 2)
    planes[0, 0, 1, 0] = 1.0  # xy, red: x −0.5, y 0.5
    planes[1, 1, 0, 1] = 2.0  # xz, green: x 0.5, z −0.5
    planes[2, 2, 1, 1] = 3.0  # zy, blue: z 0.5, y 0.5
    points = torch.tensor([[-0.5, 0.5, 0.5], [0.5, 0.5, -0.5], [0.0, 0.5, 0.0], [0.0, 0.0, 5.0]])
    # The third is half way in x between two texels of each of the first two planes, and a quarter of one of them in z; outside is nothing.
    wanted = torch.tensor([[1.0, 0.0, 3.0], [0.0, 2.0, 0.0], [0.5, 0.0, 1.5], [0.25, 0.0, 0.0]])
    wanted[2, 1] = 2.0 * 0.5 * 0.5
    torch.testing.assert_close(Retouch(planes, 1.0).color(points), wanted)


def test_colours_alone_change_and_stay_within_their_range(retouch: Retouch) -> None:
    strong = replace(retouch, planes=20 * retouch.planes)
    plain = face().scene()
    for exact in (True, False):
        before = render(plain, look_at(20.0), 24, SAMPLING, exact=exact)
        after = render(RetouchedScene(plain, strong), look_at(20.0), 24, SAMPLING, exact=exact)
        for name in ("logits", "labels", "depth", "opacity"):
            assert torch.equal(getattr(before, name), getattr(after, name)), name
        assert (after.raw - before.raw).abs().max() > 0.3 and after.raw.abs().max() <= 1.001


def test_other_channels_than_the_picture_stay(retouch: Retouch) -> None:
    color, points = torch.zeros(1, 1, 2, 5), torch.rand(1, 1, 2, 3) - 0.5
    changed = retouch.add_to(color, points)
    assert torch.equal(changed[..., 3:], color[..., 3:]) and torch.equal(changed[..., :3], retouch.color(points))


def test_the_fast_renderer_agrees_with_the_slow_one(retouch: Retouch) -> None:
    scene = RetouchedScene(face().scene(), retouch)
    views = [render(scene, look_at(-15.0, 5.0), 32, SAMPLING, exact=exact).raw for exact in (True, False)]
    torch.testing.assert_close(views[0], views[1], atol=2e-3, rtol=0)


def test_it_fades_as_a_face_makes_way_for_another(retouch: Retouch) -> None:
    generator = solid_generator()
    latents, mean = generator.sample(1, 3, 1.0), generator.mean_latents()
    own = retouch.belonging_to(latents, generator)
    assert own.reach is not None and own.reach[1].item() == pytest.approx(float((latents.appearance - mean.appearance).norm()))

    def shares(geometry: float, appearance: float) -> tuple[float, float]:
        """So far on the way to the mean face."""
        both = latents.lerp_geometry(mean, geometry).geometry, latents.lerp(mean, appearance).appearance[:, 0]
        return own.shares(*both)

    # Other colours on the same shape take the hues alone; other shapes in its colours are edits up to six tenths of the way.
    assert shares(0, 0) == (1, 1) and shares(0, 0.25) == pytest.approx((1, 0.75)) and shares(0, 2) == (1, 0)
    assert shares(0.5, 0) == pytest.approx((1, 1)) and shares(0.8, 0) == pytest.approx((0.5, 0.5)) and shares(2, 0) == (0, 0)
    # Of half a mix nothing is more than half, and in between what depends on the shape alone goes along: 1 − 0.5 · 0.15 / 0.3.
    assert shares(0.5, 0.5) == pytest.approx((0.5, 0.5)) and shares(0.15, 0.5) == pytest.approx((0.75, 0.5)) and shares(1, 1) == (0, 0)
    assert retouch.shares(mean.geometry, mean.appearance[:, 0]) == (1, 1)  # it belongs to nobody
    with pytest.raises(ModelError, match="another generator"):
        own.shares(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))


def test_shades_and_hues_by_hand() -> None:
    generator = solid_generator()
    latents, mean = generator.sample(1, 3, 1.0), generator.mean_latents()
    planes = torch.tensor([0.3, 0.6, 0.0]).reshape(1, 3, 1, 1).expand(3, 3, 2, 2)  # a shade of 0.3, and hues of 0, 0.3 and −0.3
    own, scene = Retouch(planes, 0.5).belonging_to(latents, generator), face().scene()
    assert own.over(scene, mean.geometry, mean.appearance[:, 0]) is scene
    same, dyed = (own.over(scene, latents.geometry, each.appearance[:, 0]) for each in (latents, latents.lerp(mean, 0.5)))
    assert isinstance(same, RetouchedScene) and same.retouch is own and isinstance(dyed, RetouchedScene)
    assert dyed.retouch.planes[0, :, 0, 0].tolist() == pytest.approx([0.3, 0.45, 0.15])


def test_classes_that_take_other_colours_keep_its_shades_and_the_rest_all_of_it(retouch: Retouch) -> None:
    generator = new_solid_generator(density=400.0, bias=-40.0)
    with torch.no_grad():
        generator.get_submodule("decoder.geo_net.2").get_parameter("weight")[1:] *= 50  # so that each ray shows one class
    own = Inversion(generator.sample(1, 3, 1.0), generator.default_camera, generator)
    photographed = replace(own, retouch=retouch.belonging_to(own.latents, generator))
    other = generator.mean_latents()
    labels = render(own.scene(), look_at(0.0), 24, SAMPLING, exact=True).labels[0]
    name = generator.layout.names[int(labels[labels > 0].mode().values)]
    taken = transfer(generator, photographed, other, classes=[name])
    shades = replace(retouch, planes=retouch.planes.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1))
    scenes = [
        photographed.scene(),
        photographed.scene(taken),
        RetouchedScene(own.scene(taken), retouch),
        RetouchedScene(own.scene(taken), shades),
    ]
    before, after, covered, shaded = (render(scene, look_at(0.0), 24, SAMPLING, exact=True).raw[0] for scene in scenes)
    rest = labels != generator.layout.index(name)
    for wanted in (before, covered):
        torch.testing.assert_close(after[:, rest], wanted[:, rest], atol=1e-5, rtol=0)
    near, far = ((after - each).abs()[:, ~rest].mean() for each in (shaded, covered))
    assert near < far / 2  # edges of the class show others, too
    whole = transfer(generator, photographed, other, geometry=1.0)
    views = [render(each.scene(whole), look_at(0.0), 24, SAMPLING).raw for each in (photographed, own)]
    assert torch.equal(views[0], views[1])


def test_roughness_by_hand_and_as_a_gradient(rng: torch.Generator) -> None:
    planes = torch.randn(2, 3, 5, 5, generator=rng, dtype=torch.float64).requires_grad_()
    energy = 0.5 * (planes.diff(dim=-1).square().sum() + planes.diff(dim=-2).square().sum())
    (slope,) = torch.autograd.grad(energy, planes)
    torch.testing.assert_close(roughness_gradient(planes.detach()), slope)
    peak = torch.zeros(3, 3)
    peak[1, 1] = 1.0
    assert roughness_gradient(peak).tolist() == [[0, -1, 0], [-1, 4, -1], [0, -1, 0]]


def test_ray_sums_and_their_transpose(retouch: Retouch, rng: torch.Generator) -> None:
    points = torch.rand(7, 3, generator=rng) - 0.5
    weights, counts = torch.rand(7, generator=rng), torch.tensor([2, 0, 4, 1])
    rays = Rays.of(points, weights, counts, 0.5, 8)
    table = retouch.planes.permute(2, 3, 0, 1).reshape(-1, 3)
    torch.testing.assert_close(_planes(table, 8), retouch.planes)
    each = weights[:, None] * retouch.color(points)
    sums = torch.stack([each[:2].sum(0), torch.zeros(3), each[2:6].sum(0), each[6]])
    torch.testing.assert_close(rays.values(table), sums)
    both = Rays.cat([rays, rays])
    torch.testing.assert_close(both.values(table), torch.cat([sums, sums]))
    # ⟨A x, y⟩ = ⟨x, Aᵀ y⟩
    other = torch.randn(8, 3, generator=rng)
    torch.testing.assert_close((both.values(table) * other).sum(), (table * both.transposed(len(table)).values(other)).sum())


def dense(rays: Rays, length: int) -> Tensor:
    """The map as a matrix `[R,T]`."""
    return torch.zeros(len(rays.starts), length).index_put((rays.owners, rays.rows.long()), rays.weights, accumulate=True)


def test_the_fit_is_the_least_squares_solution(rng: torch.Generator) -> None:
    points, size = torch.rand(40, 3, generator=rng) - 0.5, 4
    rays = Rays.of(points, torch.rand(40, generator=rng), torch.full((20,), 2), 0.5, size)
    target = torch.randn(20, 3, generator=rng)
    settings = replace(FEW, texels=size, tuning_steps=200, plain=0.1, smooth=0.2)
    found = _solve(rays, target, settings, lambda index, losses: None)
    matrix = dense(rays, 3 * size * size)
    unit = torch.eye(len(matrix.T))
    rough = torch.stack([roughness_gradient(_planes(row[:, None].expand(-1, 3), size))[:, 0].permute(1, 2, 0).flatten() for row in unit])
    normal = matrix.T @ matrix + 0.1 * unit + 0.2 * rough
    torch.testing.assert_close(found, torch.linalg.solve(normal, matrix.T @ target), atol=1e-4, rtol=0)


def test_a_retouch_shows_the_photo_and_leaves_what_no_photo_sees() -> None:
    scene = face().scene()
    camera = solid_generator().default_camera
    plain = render(scene, camera, 48, SAMPLING).raw
    photo = (plain + 0.3 * torch.tensor([1.0, -1.0, 0.5])[:, None, None]).clamp(-1, 1)
    heard: list[int] = []
    found = fit_retouch(scene, [Look(photo, camera)], FEW, lambda index, losses: heard.append(index))
    assert heard[-1] == 30 and 0 in heard and torch.equal(found.planes, found.planes.half().float())
    after = render(RetouchedScene(scene, found), camera, 48, SAMPLING)
    inside = after.opacity[:, 0] > 0.9
    assert psnr(after.raw, photo, inside).item() > psnr(plain, photo, inside).item() + 8
    # Where the photo sees nothing it hardly changes anything, and without the hold it does.
    hidden = _hidden_points(scene, [Look(photo, camera)], FEW, lambda: None)
    loose = fit_retouch(scene, [Look(photo, camera)], replace(FEW, unseen=0.0))
    held, free = (each.color(hidden).abs().mean() for each in (found, loose))
    assert len(hidden) > 100 and held < 0.5 * free


def test_a_fit_can_be_stopped_while_it_looks(rng: torch.Generator) -> None:
    def stop(index: int, losses: dict[str, float]) -> None:
        raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        fit_retouch(face().scene(), [Look(torch.zeros(1, 3, 24, 24), look_at(0.0))], FEW, stop)


def test_a_retouched_face_is_saved_and_edited(retouch: Retouch, tmp_path: Path) -> None:
    made = replace(face(), retouch=retouch.rounded(), others=look_at(torch.tensor([10.0, -20.0])))
    made.save(tmp_path / "face", solid_generator())
    assert (tmp_path / "face" / RETOUCH_FILE).stat().st_size < 3 * 3 * 64 * 2 + 500
    loaded = Inversion.load(tmp_path / "face", solid_generator())
    assert loaded.retouch is not None and torch.equal(loaded.retouch.planes, made.retouch.planes)  # type: ignore[union-attr]
    assert loaded.others is not None and len(loaded.others) == 2 and loaded.generator is solid_generator()
    views = [render(each.scene(), each.camera, 24, SAMPLING).raw for each in (made, loaded, face())]
    torch.testing.assert_close(views[0], views[1], atol=1e-5, rtol=0)
    assert (views[0] - views[2]).abs().max() > 0.05
    target = torch.full((12, 12), 7)
    result = edit(solid_generator(), loaded, target, settings=EditSettings(steps=2, resolution=12, rays=None, coarse=6, fine=6))
    assert not torch.equal(result.latents.geometry, made.latents.geometry)
    replace(made, retouch=None).save(tmp_path / "face", solid_generator())
    assert Inversion.load(tmp_path / "face", solid_generator()).retouch is None


def test_a_damaged_retouch_is_refused(retouch: Retouch, tmp_path: Path) -> None:
    replace(face(), retouch=retouch).save(tmp_path / "face", solid_generator())
    path = tmp_path / "face" / RETOUCH_FILE
    good = load_file(path)
    wrong = ({"planes": good["planes"][:2]}, {"planes": good["planes"][..., :4]}, {"bounds": torch.tensor(-1.0)}, {"bounds": torch.ones(2)})
    for change in wrong:
        save_file({key: value.contiguous() for key, value in {**good, **change}.items()}, path)
        with pytest.raises(ModelError, match="retouch"):
            Inversion.load(tmp_path / "face", solid_generator())
    save_file({"planes": good["planes"]}, path)
    with pytest.raises(ModelError, match="retouch"):
        Inversion.load(tmp_path / "face", solid_generator())
