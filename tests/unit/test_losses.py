import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.losses import CrossEntropy, Loss, LossError, MeanSquaredError, UserLoss, make_loss

SHAPES = st.tuples(st.integers(0, 2), st.integers(1, 4), st.integers(2, 5)).map(
    lambda s: (s[1],) * s[0] + (s[2],)
)


def differences(loss: Loss, outputs: np.ndarray, target: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Central differences of each sample's value by each of its outputs."""
    result = np.empty_like(outputs)
    for index in range(outputs.shape[-1]):
        shift = np.zeros(outputs.shape[-1])
        shift[index] = step
        change = loss.value(outputs + shift, target) - loss.value(outputs - shift, target)
        result[..., index] = change / (2 * step)
    return result


def sample(shape: tuple[int, ...], seed: int, probability: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.normal(size=shape)
    return rng.normal(size=shape), np.exp(target) / np.exp(target).sum(
        -1, keepdims=True
    ) if probability else target


@given(SHAPES, st.integers(0, 99))
def test_squared_error_derivative_is_that_of_its_value(shape, seed):
    outputs, target = sample(shape, seed, probability=False)
    loss = MeanSquaredError()
    assert loss.value(outputs, target).shape == shape[:-1]
    np.testing.assert_allclose(
        loss.derivative(outputs, target), differences(loss, outputs, target), atol=1e-8
    )


@given(SHAPES, st.integers(0, 99), st.sampled_from([0.3, 1.0, 20.0]))
def test_cross_entropy_derivative_is_that_of_its_value(shape, seed, scale):
    outputs, target = sample(shape, seed, probability=True)
    loss = CrossEntropy(scale)
    assert loss.value(outputs, target).shape == shape[:-1]
    np.testing.assert_allclose(
        loss.derivative(outputs, target), differences(loss, outputs, target), atol=1e-6 * scale
    )


@pytest.mark.parametrize("loss", [MeanSquaredError(), CrossEntropy(3.0)])
def test_a_batch_is_its_samples(loss):
    outputs, target = sample((4, 3), 1, probability=True)
    for row in range(4):
        assert loss.value(outputs, target)[row] == loss.value(outputs[row], target[row])
        np.testing.assert_array_equal(
            loss.derivative(outputs, target)[row], loss.derivative(outputs[row], target[row])
        )
        assert loss.predict(outputs)[row] == loss.predict(outputs[row])


def test_squared_error_is_the_mean_over_outputs():
    assert float(MeanSquaredError().value([1.0, 0.0, 0.5], [0.0, 0.0, 0.0])) == pytest.approx(1.25 / 3)


def test_cross_entropy_of_even_odds_is_the_logarithm_of_their_number():
    assert float(CrossEntropy(7.0).value([0.2] * 10, np.eye(10)[3])) == pytest.approx(np.log(10))


def test_cross_entropy_scale_multiplies_the_outputs():
    outputs, target = sample((5, 3), 0, probability=True)
    np.testing.assert_allclose(
        CrossEntropy(4.0).value(outputs, target), CrossEntropy(1.0).value(4 * outputs, target)
    )


def test_cross_entropy_is_finite_for_huge_outputs():
    loss = CrossEntropy(1e3)
    assert float(loss.value([1e3, 0.0], [0.0, 1.0])) == pytest.approx(1e6)
    np.testing.assert_allclose(loss.derivative([1e3, 0.0], [0.0, 1.0]), [1e3, -1e3])
    assert float(loss.value([1e3, 0.0], [1.0, 0.0])) == 0.0
    np.testing.assert_allclose(loss.probabilities([-1e5, 1e5]), [0.0, 1.0])


@pytest.mark.parametrize("target", [[0.5, 0.6], [1.5, -0.5], [0.0, 0.0], [2.0, 0.0], [np.nan, 1.0]])
def test_cross_entropy_refuses_a_target_that_is_no_distribution(target):
    with pytest.raises(LossError, match="no probability distribution"):
        CrossEntropy().value([0.0, 0.0], target)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan])
def test_cross_entropy_refuses_a_scale_that_is_not_positive(scale):
    with pytest.raises(LossError, match="scale"):
        CrossEntropy(scale)


def test_cross_entropy_refuses_a_single_output():
    for call in (CrossEntropy().value, CrossEntropy().derivative, CrossEntropy().correct):
        with pytest.raises(LossError, match="single output"):
            call([0.3], [1.0])
    with pytest.raises(LossError, match="single output"):
        CrossEntropy().predict([0.3])


@pytest.mark.parametrize("loss", [MeanSquaredError(), CrossEntropy()])
def test_shapes_that_differ_are_refused(loss):
    with pytest.raises(LossError, match=r"\(2, 3\).*\(3,\)"):
        loss.value(np.zeros((2, 3)), np.array([1.0, 0.0, 0.0]))
    with pytest.raises(LossError, match="no output"):
        loss.value(0.3, 0.3)


@pytest.mark.parametrize("loss", [MeanSquaredError(), CrossEntropy()])
def test_the_largest_of_several_outputs_decides(loss):
    outputs = np.array([[-0.3, -0.1, -0.2], [0.9, 0.1, 0.0]])
    np.testing.assert_array_equal(loss.predict(outputs), [1, 0])
    np.testing.assert_array_equal(loss.correct(outputs, np.eye(3)[[1, 2]]), [True, False])


def test_the_nearest_level_decides_for_a_single_output():
    outputs = np.array([[0.1], [-0.1], [2.0]])
    np.testing.assert_array_equal(MeanSquaredError().predict(outputs), [1, 0, 1])
    np.testing.assert_array_equal(
        MeanSquaredError().correct(outputs, [[0.2], [0.2], [0.2]]), [True, False, True]
    )
    np.testing.assert_array_equal(MeanSquaredError(levels=(0.0, 0.3, 5.0)).predict(outputs), [0, 0, 1])


@pytest.mark.parametrize("levels", [(1.0,), (), (1.0, 1.0), (0.0, np.nan), ("a", "b")])
def test_levels_that_decide_nothing_are_refused(levels):
    with pytest.raises(LossError, match="levels"):
        MeanSquaredError(levels=levels)


def test_factory():
    assert make_loss("mse") == MeanSquaredError()
    assert make_loss("cross_entropy", scale=4.0) == CrossEntropy(4.0)
    with pytest.raises(LossError, match=r"unknown loss 'hinge'.*mse, cross_entropy, user"):
        make_loss("hinge")
    with pytest.raises(LossError, match="scales"):
        make_loss("cross_entropy", scales=4.0)


# --- a user's own function ---------------------------------------------------------------------------

SOURCE = """
import numpy as np
TABLE = 3
def value_only(v, t): return float(np.sum(np.cosh(v - t)))
def both(v, t): return np.sum(np.cosh(v - t)), np.sinh(v - t)
def wrong_sign(v, t): return np.sum(np.cosh(v - t)), -np.sinh(v - t)
def slightly_wrong(v, t): return np.sum(np.cosh(v - t)), np.sinh(v - t) * np.array([1.0, 1.001, 1.0])
def wrong_far_off(v, t):
    d = 2 * (v - t)
    d[2] += 0.5 * (v[2] > 0.7)
    return np.sum((v - t) ** 2), d
def wrong_later(v, t): return np.sum((v - t) ** 2), 2 * (v - t) * (1 + (t > 50))
def absolute(v, t): return np.sum(np.abs(v - t)), np.sign(v - t)
def logarithm(v, t):
    if min(v) <= 0: raise ValueError("outside")
    return -np.sum(t * np.log(v)), -t / v
def half_inplace(v, t):
    v *= 0.5
    return float(np.sum(v))
def text(v, t): return "much"
def no_number(v, t): return float("nan")
def short_derivative(v, t): return 0.0, np.zeros(1)
def fails(v, t): return 1 / 0
"""
OUTPUTS, TARGET = np.array([0.3, -0.2, 0.1]), np.array([1.0, 0.0, 0.5])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("import no_such_package_at_all\n")
    package = tmp_path / f"package_{tmp_path.name}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "own.py").write_text(SOURCE)
    return tmp_path


def test_a_user_value_without_derivative_is_differentiated(folder):
    loss = UserLoss("own.py:value_only", folder)
    assert float(loss.value(OUTPUTS, TARGET)) == pytest.approx(np.sum(np.cosh(OUTPUTS - TARGET)))
    np.testing.assert_allclose(loss.derivative(OUTPUTS, TARGET), np.sinh(OUTPUTS - TARGET), atol=1e-9)


@pytest.mark.parametrize("name", ["both", "value_only"])
def test_a_user_loss_takes_batches(folder, name):
    outputs, target = sample((2, 4, 3), 3, probability=False)
    loss = UserLoss(f"own.py:{name}", folder)
    np.testing.assert_allclose(loss.value(outputs, target), np.sum(np.cosh(outputs - target), axis=-1))
    np.testing.assert_allclose(loss.derivative(outputs, target), np.sinh(outputs - target), atol=1e-8)
    assert loss.predict(outputs).shape == (2, 4)


@pytest.mark.parametrize("name", ["wrong_sign", "slightly_wrong", "wrong_far_off"])
def test_a_wrong_user_derivative_is_refused(folder, name):
    with pytest.raises(LossError, match=rf"own.py:{name}.*derivative \d is .*differences.*give"):
        UserLoss(f"own.py:{name}", folder).derivative(OUTPUTS, TARGET)


def test_the_refusal_names_index_and_both_numbers(folder):
    with pytest.raises(LossError) as caught:
        UserLoss("own.py:slightly_wrong", folder).derivative(OUTPUTS, TARGET)
    right = np.sinh(-0.2)
    assert "derivative 1 is" in str(caught.value)
    assert f"{1.001 * right:.6g}" in str(caught.value)
    assert f"{right:.6g}" in str(caught.value)


def test_a_derivative_that_is_wrong_later_is_found_later(folder):
    loss = UserLoss("own.py:wrong_later", folder)
    loss.derivative(OUTPUTS, TARGET)
    with pytest.raises(LossError, match="derivative"):
        loss.derivative(np.zeros((9, 3)), np.full((9, 3), 60.0))


def test_a_right_derivative_passes_where_the_function_has_kinks_and_a_domain(folder):
    kink = UserLoss("own.py:absolute", folder)
    np.testing.assert_array_equal(kink.derivative([1.0, 2.0, 0.0], [1.0, 0.0, 0.5]), [0.0, 1.0, -1.0])
    domain = UserLoss("own.py:logarithm", folder)
    np.testing.assert_allclose(domain.derivative([0.2, 0.8], [0.0, 1.0]), [0.0, -1.25])


def test_a_user_function_cannot_change_the_outputs(folder):
    outputs = OUTPUTS.copy()
    UserLoss("own.py:half_inplace", folder).derivative(outputs, TARGET)
    np.testing.assert_array_equal(outputs, OUTPUTS)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("text", "'much'"),
        ("no_number", "nan"),
        ("short_derivative", r"shape \(3,\)"),
        ("fails", "ZeroDivision"),
    ],
)
def test_an_unusable_answer_is_refused(folder, name, said):
    with pytest.raises(LossError, match=said):
        UserLoss(f"own.py:{name}", folder).derivative(OUTPUTS, TARGET)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("own.py", "must read"),
        (":both", "must read"),
        ("own.py:both()", "must read"),
        ("other.py:both", "no file"),
        ("own.py:bath", "did you mean 'both'"),
        ("own.py:TABLE", "is a int"),
        ("broken.py:both", "no_such_package_at_all"),
        ("no_such_package_at_all.x:both", "cannot be imported"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(folder, path, said):
    before = list(sys.path)
    with pytest.raises(LossError, match=said):
        UserLoss(path, folder)
    assert sys.path == before


def test_a_module_of_the_folder_is_found_by_import_path(folder):
    before = list(sys.path)
    loss = make_loss("user", path=f"package_{folder.name}.own:both", folder=folder)
    np.testing.assert_allclose(loss.derivative(OUTPUTS, TARGET), np.sinh(OUTPUTS - TARGET))
    assert sys.path == before


@pytest.mark.parametrize("name", ["mse", "cross_entropy", "user"])
def test_losses_work_in_another_process_after_pickling(folder, name):
    options = {"path": "own.py:both", "folder": folder} if name == "user" else {}
    loss = make_loss(name, **options)
    target = np.array([0.0, 1.0, 0.0])
    (folder / "loss.pickle").write_bytes(pickle.dumps((loss, OUTPUTS, target)))
    code = (
        "import pickle, sys; loss, v, t = pickle.load(open(sys.argv[1], 'rb'));"
        "print(repr(float(loss.value(v, t))), *map(repr, loss.derivative(v, t).tolist()))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(folder / "loss.pickle")], capture_output=True, text=True, check=True
    )
    numbers = [float(word) for word in run.stdout.split()]
    assert numbers == [float(loss.value(OUTPUTS, target)), *loss.derivative(OUTPUTS, target).tolist()]
