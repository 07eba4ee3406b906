"""StyleGAN2's layers against slow, obvious twins written from their definitions."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fface_hub.generators.stylegan import (
    CameraMapping,
    FullyConnected,
    StyledConv,
    Synthesis,
    ToImage,
    add_upsampled,
    upsampling_conv,
)

FIR = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def insert_zeros(x: Tensor) -> Tensor:
    """`[B,C,H,W]` → `[B,C,2H,2W]` with a zero after each sample."""
    out = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    out[:, :, ::2, ::2] = x
    return out


def first(x: Tensor) -> Tensor:
    """`[B,C,H,W]` → `[B,H,W,C]`."""
    return x.permute(0, 2, 3, 1)


def last(x: Tensor) -> Tensor:
    """`[B,H,W,C]` → `[B,C,H,W]`."""
    return x.permute(0, 3, 1, 2)


def fir(x: Tensor) -> Tensor:
    """The filter with gain 4, no padding."""
    return F.conv2d(x, (4 * FIR).expand(x.shape[1], 1, 4, 4), groups=x.shape[1])


def modulated_slow(x: Tensor, weight: Tensor, style: Tensor, up: bool) -> Tensor:
    """A weight per sample, W' = W·s, demodulated; then the convolution, one sample at a time."""
    outputs = []
    for sample, s in zip(x, style, strict=True):
        w = weight * s[None, :, None, None]
        w = w * (w.square().sum((1, 2, 3), keepdim=True) + 1e-8).rsqrt()
        if up:
            y = fir(F.pad(F.conv_transpose2d(sample[None], w.transpose(0, 1), stride=2), (1, 1, 1, 1)))
        else:
            y = F.conv2d(sample[None], w, padding=1)
        outputs.append(y)
    return torch.cat(outputs)


def test_fully_connected_scales_weights_when_used() -> None:
    # in = 4, multiplier .5: weight 2 counts as 2 · .5 / √4 = .5, bias 3 as 1.5. Input of ones: 4 · .5 + 1.5 = 3.5; of −2s: −4 + 1.5 = −2.5.
    layer, active = FullyConnected(4, 1, multiplier=0.5), FullyConnected(4, 1, multiplier=0.5, activate=True)
    for each in (layer, active):
        each.weight.data.fill_(2)
        each.bias.data.fill_(3)
    x = torch.stack([torch.ones(4), torch.full((4,), -2.0)])
    assert layer(x).flatten().tolist() == pytest.approx([3.5, -2.5])
    assert active(x).flatten().tolist() == pytest.approx([3.5 * math.sqrt(2), -0.2 * 2.5 * math.sqrt(2)])


def test_stored_weights_have_deviation_1_over_multiplier() -> None:
    assert FullyConnected(64, 64, multiplier=0.01).weight.std().item() == pytest.approx(100, rel=0.05)


def test_upsampling_matrix_equals_zero_insertion_and_filter() -> None:
    x, new = torch.randn(2, 3, 5, 5), torch.randn(2, 3, 10, 10)
    slow = fir(F.pad(insert_zeros(x), (2, 1, 2, 1)))
    torch.testing.assert_close(last(add_upsampled(first(new), first(x))), new + slow)
    # By hand, along one axis: samples 4, 8 become ¾·4, ¾·4 + ¼·8, ¾·8 + ¼·4, ¾·8 = 3, 5, 7, 6; a row of them counts ¾ at the border.
    rows = add_upsampled(torch.zeros(1, 4, 4, 1), torch.tensor([[4.0, 8.0], [4.0, 8.0]])[None, :, :, None])
    assert rows[0, 1, :, 0].tolist() == pytest.approx([3, 5, 7, 6])
    assert rows[0, 0, :, 0].tolist() == pytest.approx([2.25, 3.75, 5.25, 4.5])


@pytest.mark.parametrize("up", [False, True])
def test_unfused_modulated_convolution_equals_a_weight_per_sample(up: bool) -> None:
    layer = StyledConv(5, 7, latent=6, resolution=12 if up else 6, up=up)
    layer.bias.data.normal_()
    assert layer.noise_strength is not None
    layer.noise_strength.data.fill_(0.3)
    x, row = torch.randn(3, 5, 6, 6), torch.randn(3, 6)
    slow = modulated_slow(x, layer.weight, layer.affine(row), up)
    expected = F.leaky_relu(slow + 0.3 * layer.noise_const + layer.bias[:, None, None], 0.2) * math.sqrt(2)
    torch.testing.assert_close(layer(x, row), expected, rtol=1e-4, atol=1e-4)
    quiet = F.leaky_relu(slow + layer.bias[:, None, None], 0.2) * math.sqrt(2)
    torch.testing.assert_close(layer(x, row, noise=False), quiet, rtol=1e-4, atol=1e-4)


def test_upsampling_convolution_doubles_the_size() -> None:
    assert upsampling_conv(torch.randn(1, 2, 4, 4), torch.randn(3, 2, 3, 3)).shape == (1, 3, 8, 8)


def test_clamp_bounds_the_activations() -> None:
    layer = StyledConv(2, 2, latent=3, resolution=4, noise=False, clamp=0.5)
    assert layer(100 * torch.randn(1, 2, 4, 4), torch.randn(1, 3)).abs().max().item() == 0.5


def test_to_image_has_no_demodulation_and_divides_by_root_of_channels() -> None:
    layer = ToImage(4, 3, latent=6)
    layer.bias.data.normal_()
    x, row = torch.randn(2, 4, 5, 5), torch.randn(2, 6)
    style = layer.affine(row) / 2  # √4
    slow = torch.stack([F.conv2d(a[None], layer.weight * s[None, :, None, None], layer.bias)[0] for a, s in zip(x, style, strict=True)])
    torch.testing.assert_close(last(layer(x, row)), slow)


def test_each_row_drives_the_layers_it_should() -> None:
    """Rows of a 16² network (6): 0 b4.conv1 · 1 b4.torgb, b8.conv0 · 2 b8.conv1 · 3 b8.torgb, b16.conv0 · 4 b16.conv1 · 5 b16.torgb."""
    network = Synthesis(16, 6, latent=8, channel_base=64, channel_max=8, noise=False)
    assert network.num_rows == 6
    rows = torch.randn(1, 6, 8, requires_grad=True)
    expected = {
        "b4.conv1": {0}, "b4.torgb": {1}, "b8.conv0": {1}, "b8.conv1": {2}, "b8.torgb": {3},
        "b16.conv0": {3}, "b16.conv1": {4}, "b16.torgb": {5},
    }  # fmt: skip
    styles: dict[str, Tensor] = {}
    for name in expected:
        network.get_submodule(f"{name}.affine").register_forward_hook(lambda _m, _i, out, name=name: styles.__setitem__(name, out))
    network(rows)
    for name, wanted in expected.items():
        (grad,) = torch.autograd.grad(styles[name].sum(), rows, retain_graph=True)
        assert set(grad.abs().sum(-1).nonzero()[:, 1].tolist()) == wanted, name


def test_channels_follow_base_and_maximum() -> None:
    network = Synthesis(32, 6, latent=8, channel_base=128, channel_max=16, noise=False)
    assert [network.get_submodule(f"b{n}.conv1").weight.shape[0] for n in (4, 8, 16, 32)] == [16, 16, 8, 4]


def test_planes_stay_float32_and_close_under_autocast() -> None:
    network = Synthesis(32, 6, latent=8, channel_base=256, channel_max=16, noise=True)
    rows = torch.randn(2, 10 - 2, 8)
    exact = network(rows)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(rows)
    assert rounded.dtype == torch.float32
    assert 0 < float((rounded - exact).abs().mean()) < 0.03 * float(exact.std())


def test_camera_mapping_ignores_the_length_of_z() -> None:
    mapping = CameraMapping(4, 25, 8, layers=2)
    z, camera = torch.randn(2, 4), torch.randn(2, 25)
    torch.testing.assert_close(mapping(z, camera), mapping(3 * z, camera), rtol=1e-4, atol=1e-5)
    assert float((mapping(z, camera) - mapping(z, camera + 1)).abs().max()) > 1e-3
