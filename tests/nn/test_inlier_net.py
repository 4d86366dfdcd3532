import numpy as np
import pytest
import torch
from recorded_others import made_weights, recorded

from silk_sfm.nn.inlier_net import InlierNet, plain_name


def network() -> InlierNet:
    made = InlierNet()
    weights = made_weights("kp2d", "ionet").items()
    made.load_state_dict({plain_name(name): value for name, value in weights})
    return made


@pytest.mark.parametrize("mode", ["eval", "train"])
@torch.no_grad()
def test_recorded_verdicts(mode: str) -> None:
    case = recorded("kp2d", "ionet")
    found = network().train(mode == "train")(torch.from_numpy(case["input"]))
    np.testing.assert_allclose(found, case[f"output_{mode}"], atol=1e-4)


@torch.no_grad()
def test_recorded_statistics_of_training() -> None:
    case, made = recorded("kp2d", "ionet"), network().train()
    made(torch.from_numpy(case["input"]))
    assert made.norm.running_mean is not None and made.norm.running_var is not None
    np.testing.assert_allclose(made.norm.running_mean, case["running_mean_after_p_in"], atol=1e-6)
    np.testing.assert_allclose(made.norm.running_var, case["running_var_after_p_in"], rtol=1e-5)
    first = made.state_dict()["blocks.0.norms.0.running_mean"]
    np.testing.assert_allclose(first, case["running_mean_after_0s1"], atol=1e-6)


@torch.no_grad()
def test_matches_have_no_order() -> None:
    torch.manual_seed(0)
    made, matches = InlierNet().eval(), torch.randn(2, 5, 30, 1)
    order = torch.randperm(30)
    torch.testing.assert_close(made(matches)[:, :, order], made(matches[:, :, order]))
    assert made(matches).shape == (2, 1, 30, 1)


def test_names() -> None:
    assert plain_name("p_in.0.weight") == "entry.weight"
    assert plain_name("p_in.1.running_mean") == "norm.running_mean"
    assert plain_name("2s0.bias") == "blocks.2.layers.0.bias"
    assert plain_name("2s3.running_var") == "blocks.2.norms.1.running_var"
    assert plain_name("p_out.bias") == "exit.bias"
    assert sum(p.numel() for p in InlierNet().parameters()) == 135_169
