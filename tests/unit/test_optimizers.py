import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.updates.optimizers import UpdateError, make_optimizer

KINDS = ["sgd", "momentum", "adam"]
SPACES = ["linear", "log"]
LOWER, UPPER = 1e-6, 1e-3


def start(size: int = 5, seed: int = 0) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).uniform(np.log(1e-5), np.log(1e-4), size))


def test_sgd_is_a_step_against_the_gradient():
    new = make_optimizer("sgd", 2).step([1.0, -2.0], [0.5, 4.0], 0.1)
    np.testing.assert_allclose(new, [0.95, -2.4], rtol=1e-15)


def test_log_space_sgd_is_the_exponentiated_update():
    values, gradient = start(), np.array([1.0, -2.0, 0.0, 3.0, 1e3])
    optimizer = make_optimizer("sgd", 5, lower=1e-12, upper=1.0, space="log")
    new = optimizer.step(values, gradient, 7.0)
    np.testing.assert_allclose(new, values * np.exp(-7.0 * values * gradient), rtol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_log_space_is_linear_space_of_the_logarithms(kind):
    """With J(x) = sum (x - a)^2, x = ln G: both spaces take the same steps in x."""
    wanted = np.log(start(seed=1))
    in_log = make_optimizer(kind, 5, lower=1e-9, upper=1.0, space="log")
    in_linear = make_optimizer(kind, 5)
    values, logs = start(), np.log(start())
    for _ in range(20):
        values = in_log.step(values, 2 * (np.log(values) - wanted) / values, 0.02)
        logs = in_linear.step(logs, 2 * (logs - wanted), 0.02)
    np.testing.assert_allclose(np.log(values), logs, rtol=1e-12)


def test_momentum_sums_a_geometric_series():
    optimizer = make_optimizer("momentum", 1, momentum=0.5)
    value = np.array([0.0])
    for expected in (-1.0, -1.0 - 1.5, -1.0 - 1.5 - 1.75):
        value = optimizer.step(value, [1.0], 1.0)
        assert value[0] == expected


def test_momentum_applies_a_new_learning_rate_at_once():
    optimizer = make_optimizer("momentum", 1, momentum=0.5)
    optimizer.step([0.0], [1.0], 1.0)
    assert optimizer.step([0.0], [1.0], 0.1)[0] == pytest.approx(-0.15)


def test_adam_takes_the_published_steps():
    """Algorithm 1 of Kingma & Ba 2015 written out for the gradients 0.4, -0.1, 0.2."""
    optimizer = make_optimizer("adam", 1)
    value, rate, eps = 1.0, 0.01, 1e-8
    one = rate * 0.4 / (0.4 + eps)
    m2, s2 = 0.9 * 0.04 - 0.01, 0.999 * 0.00016 + 0.00001
    two = rate * (m2 / 0.19) / (np.sqrt(s2 / 0.001999) + eps)
    m3, s3 = 0.9 * m2 + 0.02, 0.999 * s2 + 0.00004
    three = rate * (m3 / 0.271) / (np.sqrt(s3 / 0.002997001) + eps)
    got = np.array([value])
    for gradient, step in ((0.4, one), (-0.1, two), (0.2, three)):
        value -= step
        got = optimizer.step(got, [gradient], rate)
        assert got[0] == pytest.approx(value, rel=1e-12)


@given(st.floats(1e-3, 1e6))
def test_adams_steps_do_not_depend_on_the_scale_of_the_gradient(scale):
    gradients = np.random.default_rng(3).normal(size=(10, 4))
    plain, scaled = make_optimizer("adam", 4, epsilon=1e-30), make_optimizer("adam", 4, epsilon=1e-30)
    a = b = np.zeros(4)
    for gradient in gradients:
        a, b = plain.step(a, gradient, 0.1), scaled.step(b, scale * gradient, 0.1)
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("space", SPACES)
@given(st.integers(0, 10_000), st.floats(-8, 12))
def test_bounds_are_never_left(kind, space, seed, decades):
    rng = np.random.default_rng(seed)
    lower, upper = np.full(5, LOWER), rng.uniform(1e-4, UPPER, 5)
    optimizer = make_optimizer(kind, 5, lower=lower, upper=upper, space=space)
    values = start(seed=seed)
    for _ in range(10):
        values = optimizer.step(values, 10.0**decades * rng.standard_cauchy(5), 10.0 ** rng.uniform(-6, 2))
        assert np.all((lower <= values) & (values <= upper))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("space", SPACES)
def test_a_parameter_leaves_its_bound_with_the_first_gradient_inwards(kind, space):
    """One hundred steps against the bound leave no velocity that has to be worn down first."""
    optimizer = make_optimizer(kind, 1, lower=LOWER, upper=UPPER, space=space)
    value = np.array([1e-4])
    for _ in range(100):
        value = optimizer.step(value, [-1e4], 1.0)
    assert value[0] == UPPER
    assert optimizer.step(value, [1e4], 1e-12 if space == "linear" else 1e-3)[0] < UPPER


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("space", SPACES)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(kind, space):
    gradients = np.random.default_rng(5).normal(scale=1e3, size=(30, 5))
    options = {"lower": LOWER, "upper": UPPER, "space": space}
    rate = 1e-7 if space == "linear" and kind != "adam" else 1e-5
    whole = make_optimizer(kind, 5, **options)
    values = start()
    for step, gradient in enumerate(gradients):
        if step == 13:
            saved, place = whole.state_dict(), values.copy()
        values = whole.step(values, gradient, rate)
    resumed = make_optimizer(kind, 5, **options)
    resumed.load_state_dict(saved)
    for gradient in gradients[13:]:
        place = resumed.step(place, gradient, rate)
    assert not np.array_equal(values, start())
    np.testing.assert_array_equal(values, place)
    for name, array in whole.state_dict().items():
        assert isinstance(array, np.ndarray)
        np.testing.assert_array_equal(array, resumed.state_dict()[name])


@pytest.mark.parametrize("kind", KINDS)
def test_multipliers_scale_the_step_of_their_parameter(kind):
    gradient, values = np.array([1.0, 1.0, 1.0]), np.zeros(3)
    new = make_optimizer(kind, 3, multipliers=[1.0, 0.5, 0.0]).step(values, gradient, 0.1)
    assert new[1] == pytest.approx(0.5 * new[0])
    assert new[0] != 0.0
    assert new[2] == 0.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(kind, space, bad):
    optimizer = make_optimizer(kind, 3, lower=LOWER, upper=UPPER, space=space)
    values = optimizer.step(start(3), [1.0, 2.0, 3.0], 1e-6)
    before = optimizer.state_dict()
    with pytest.raises(UpdateError, match=r"gradient 1 is (nan|-?inf) \(1 of 3"):
        optimizer.step(values, [1.0, bad, 3.0], 1e-6)
    for name, array in before.items():
        np.testing.assert_array_equal(array, optimizer.state_dict()[name])


def test_a_gradient_whose_square_overflows_is_refused_and_changes_nothing():
    optimizer = make_optimizer("adam", 1)
    optimizer.step([0.0], [1.0], 0.1)
    before = optimizer.state_dict()
    with pytest.raises(UpdateError, match=r"overflows.*1e\+200"):
        optimizer.step([0.0], [1e200], 0.1)
    assert optimizer.state_dict() == before


def test_the_given_parameters_are_left_alone():
    values = start()
    make_optimizer("sgd", 5).step(values, np.ones(5), 1e-5)
    np.testing.assert_array_equal(values, start())


def test_a_saved_state_is_a_copy():
    optimizer = make_optimizer("momentum", 1)
    saved = optimizer.state_dict()
    optimizer.step([0.0], [1.0], 1.0)
    assert saved["velocity"][0] == 0.0
    saved["velocity"][0] = 3.0
    assert optimizer.state_dict()["velocity"][0] == 1.0


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (make_optimizer("momentum", 3).state_dict(), "velocity"),
        (make_optimizer("adam", 4).state_dict(), r"shape \(4,\)"),
        ({"first": np.full(3, np.nan), "second": np.zeros(3), "count": np.array(1)}, "finite"),
    ],
)
def test_a_state_of_something_else_is_refused(state, said):
    with pytest.raises(UpdateError, match=said):
        make_optimizer("adam", 3).load_state_dict(state)


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("rmsprop", {}, "sgd, momentum, adam"),
        ("sgd", {"momentum": 0.9}, "momentum"),
        ("momentum", {"momentum": 1.0}, "momentum is 1.0"),
        ("adam", {"beta2": -0.1}, "beta2"),
        ("adam", {"epsilon": 0.0}, "epsilon"),
        ("sgd", {"space": "square"}, "linear or log"),
        ("sgd", {"space": "log"}, "positive lower"),
        ("sgd", {"space": "log", "lower": 0.0, "upper": 1.0}, "positive lower"),
        ("sgd", {"lower": 1.0, "upper": 0.0}, "above its upper"),
        ("sgd", {"lower": [0.0, 0.0]}, r"lower bounds have shape \(2,\)"),
        ("sgd", {"multipliers": [1.0, -1.0, 1.0]}, "multipliers"),
    ],
)
def test_wrong_options_are_refused(kind, options, said):
    with pytest.raises(UpdateError, match=said):
        make_optimizer(kind, 3, **options)


def test_wrong_arguments_of_a_step_are_refused():
    optimizer = make_optimizer("sgd", 2, lower=LOWER, upper=UPPER, space="log")
    with pytest.raises(UpdateError, match=r"gradients have shape \(3,\)"):
        optimizer.step([1e-4, 1e-4], [1.0, 1.0, 1.0], 1.0)
    with pytest.raises(UpdateError, match="parameter 1 is not positive"):
        optimizer.step([1e-4, -1e-4], [1.0, 1.0], 1.0)
    with pytest.raises(UpdateError, match="learning rate is nan"):
        optimizer.step([1e-4, 1e-4], [1.0, 1.0], np.nan)
