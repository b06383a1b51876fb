import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_iris

from bridge.experiment.data import DataError, Scaler, Scaling, load_data, minibatches


def test_xor_is_its_four_patterns_in_both_parts():
    split = load_data("xor", scaling=Scaling("min_max", amplitude=0.5, offset=0.5), target=0.3)
    assert not split.held_out
    for part in (split.train, split.test):
        np.testing.assert_array_equal(part.inputs, [[0, 0], [0, 1], [1, 0], [1, 1]])
        np.testing.assert_array_equal(part.labels, [0, 1, 1, 0])
        np.testing.assert_allclose(part.targets[:, 0], [-0.3, 0.3, 0.3, -0.3])


@pytest.mark.parametrize(("source", "loader"), [("iris", load_iris), ("digits", load_digits)])
def test_scikit_learns_sets_are_split_into_disjoint_stratified_parts(source, loader):
    bunch = loader()
    split = load_data(source, scaling=Scaling("none"), test_fraction=0.2, seed=4)
    rows = np.concatenate([split.train_rows, split.test_rows])
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(bunch.data)))
    assert split.held_out
    assert len(split.test) == math.ceil(0.2 * len(bunch.data))
    for part, where in ((split.train, split.train_rows), (split.test, split.test_rows)):
        np.testing.assert_array_equal(part.inputs, bunch.data[where])
        np.testing.assert_array_equal(part.labels, bunch.target[where])
        np.testing.assert_array_equal(np.argmax(part.targets, axis=1), part.labels)
    expected = 0.2 * np.bincount(bunch.target)
    assert np.all(np.abs(np.bincount(split.test.labels) - expected) <= 1)


def test_the_seed_decides_the_split():
    first, again, other = (load_data("iris", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.train.inputs, again.train.inputs)
    np.testing.assert_array_equal(first.test_rows, again.test_rows)
    assert not np.array_equal(np.sort(first.test_rows), np.sort(other.test_rows))


def test_the_test_fraction_is_that_of_the_rows():
    assert len(load_data("iris", test_fraction=0.4).test) == 60
    whole = load_data("iris", test_fraction=0.0)
    assert len(whole.train) == len(whole.test) == 150
    assert not whole.held_out


def test_standard_scaling_has_the_training_parts_mean_and_deviation():
    split = load_data("iris", scaling=Scaling("standard", amplitude=0.2, offset=0.1))
    np.testing.assert_allclose(split.train.inputs.mean(axis=0), 0.1, atol=1e-12)
    np.testing.assert_allclose(split.train.inputs.std(axis=0), 0.2, atol=1e-12)


def test_min_max_scaling_fills_the_voltage_range():
    split = load_data("iris", scaling=Scaling("min_max", amplitude=0.2, offset=0.1))
    np.testing.assert_allclose(split.train.inputs.min(axis=0), -0.1, atol=1e-12)
    np.testing.assert_allclose(split.train.inputs.max(axis=0), 0.3, atol=1e-12)


@pytest.mark.parametrize("kind", ["standard", "min_max"])
@pytest.mark.parametrize("shared", [False, True])
def test_scaling_knows_nothing_of_the_test_part(tmp_path, kind, shared):
    """A huge value in a test row leaves the training inputs as they were."""
    rng = np.random.default_rng(0)
    rows = [[*rng.normal(size=2), index % 2] for index in range(20)]

    def load():
        text = "a,b,label\n" + "\n".join(",".join(map(str, row)) for row in rows)
        (tmp_path / "own.csv").write_text(text)
        return load_data("csv", file=tmp_path / "own.csv", scaling=Scaling(kind, shared=shared), seed=3)

    before = load()
    rows[before.test_rows[0]][0] = 1e6
    after = load()
    np.testing.assert_array_equal(before.train.inputs, after.train.inputs)
    assert after.test.inputs[0, 0] > 1e4
    rows[before.train_rows[0]][0] = 1e6
    assert not np.array_equal(load().train.inputs, before.train.inputs)


def test_clipping_limits_both_parts():
    scaling = Scaling("standard", amplitude=1.0, offset=0.5, clip=0.7)
    split = load_data("iris", scaling=scaling)
    free = load_data("iris", scaling=Scaling("standard", amplitude=1.0, offset=0.5))
    for part, loose in ((split.train, free.train), (split.test, free.test)):
        np.testing.assert_allclose(part.inputs, np.clip(loose.inputs, -0.2, 1.2))
        assert np.any(part.inputs != loose.inputs)


@pytest.mark.parametrize("kind", ["standard", "min_max"])
def test_a_constant_feature_is_put_at_the_offset(kind):
    features = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 4.0]])
    scaler = Scaler.fit(Scaling(kind, offset=0.25), features)
    np.testing.assert_array_equal(scaler(np.array([[0.1, 1.0], [9.0, 1.0]]))[:, 0], [0.25, 0.25])


def test_shared_scaling_keeps_the_ratio_of_pixels():
    split = load_data("digits", scaling=Scaling("min_max", amplitude=0.5, offset=0.5, shared=True))
    np.testing.assert_allclose(split.train.inputs, load_digits().data[split.train_rows] / 16.0, atol=1e-12)


def test_the_scaler_does_to_new_samples_what_it_did_to_the_old():
    split = load_data("iris")
    np.testing.assert_array_equal(split.scaler(load_iris().data[split.test_rows]), split.test.inputs)


def test_targets_of_classes():
    one_hot = load_data("iris", target=0.4)
    assert one_hot.train.targets.shape == (120, 3)
    np.testing.assert_array_equal(one_hot.train.targets.sum(axis=1), 0.4)
    two = load_data("xor", encoding="one_hot")
    np.testing.assert_array_equal(two.train.targets, [[1, 0], [0, 1], [0, 1], [1, 0]])
    with pytest.raises(DataError, match="3"):
        load_data("iris", encoding="signed")


# --- CSV -------------------------------------------------------------------------------------------------


def write(folder, text):
    (folder / "own.csv").write_text(text, encoding="utf-8")
    return folder / "own.csv"


def test_a_csv_file_of_classes(tmp_path):
    file = write(tmp_path, 'a,"b, wide",kind\n1,2,dog\n\n3,4, cat\n5,6,dog\n')
    split = load_data("csv", file=file, label="kind", test_fraction=0.0, scaling=Scaling("none"))
    assert split.train.class_names == ("cat", "dog")
    assert split.train.feature_names == ("a", "b, wide")
    np.testing.assert_array_equal(split.train.labels, [1, 0, 1])
    np.testing.assert_array_equal(split.train.inputs, [[1, 2], [3, 4], [5, 6]])


def test_numeric_classes_are_in_the_order_of_their_values(tmp_path):
    file = write(tmp_path, "target,a\n10,1\n2,2\n9,3\n")
    assert load_data("csv", file=file, test_fraction=0.0).train.class_names == ("2", "9", "10")


def test_a_csv_file_of_voltages(tmp_path):
    rows = "\n".join(f"{i},{0.1 * i},{-0.2 * i}" for i in range(10))
    split = load_data("csv", file=write(tmp_path, "a,target:x,target:y\n" + rows), scaling=Scaling("none"))
    assert split.train.labels is None
    assert len(split.test) == 2
    np.testing.assert_allclose(split.test.targets, split.test.inputs * [[0.1, -0.2]])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b,label\n1,2,x\n1,oops,y\n", r"own.csv:3: b: 'oops' is not a finite number"),
        ("a,b,label\n1,,x\n1,2,y\n", r"own.csv:2: b: ''"),
        ("a,b,label\n\n1,nan,x\n1,2,y\n", r"own.csv:3: b: 'nan'"),
        ("a,label\n1,x\n2,y,3\n", r"own.csv:3: the line has 3 cells, the header 2"),
        ("a,a,label\n1,2,x\n", r"own.csv:1: column 2: the name 'a'"),
        ("a,,label\n1,2,x\n", r"own.csv:1: column 2: the name ''"),
        ("a,b\n1,2\n", r"own.csv:1: target columns found: none"),
        ("a,label,target\n1,x,y\n", r"own.csv:1: target columns found: label, target"),
        ("a,label,target:x\n1,x,2\n", r"own.csv:1: target columns found: label, target:x"),
        ("label\nx\ny\n", r"own.csv:1: there is no column of features"),
        ("a,label\n1,x\n2,\n", r"own.csv:3: label: the cell is empty"),
        ("a,label\n1,x\n2,x\n", r"own.csv: label: all rows are of class 'x'"),
        ("a,target:x\n1,2\n2,z\n", r"own.csv:3: target:x: 'z'"),
        ("a,label\n", r"no row of data"),
        ("", r"no row of data"),
        ('a,label\n"1,x\n', r"cannot be read"),
    ],
)
def test_a_wrong_csv_file_gets_one_line_that_says_where(tmp_path, text, said):
    with pytest.raises(DataError, match=said) as caught:
        load_data("csv", file=write(tmp_path, text), test_fraction=0.0)
    assert "\n" not in str(caught.value)


def test_a_label_that_is_no_column_gets_a_suggestion(tmp_path):
    with pytest.raises(DataError, match="did you mean 'species'"):
        load_data("csv", file=write(tmp_path, "a,species\n1,x\n2,y\n"), label="specie")


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: cannot be read"):
        load_data("csv", file=tmp_path / "none.csv")
    (tmp_path / "own.csv").write_bytes(b"a,label\n\xff\xfe,x\n")
    with pytest.raises(DataError, match="cannot be read"):
        load_data("csv", file=tmp_path / "own.csv")


def test_too_few_rows_of_a_class_to_split_are_refused(tmp_path):
    with pytest.raises(DataError, match="2 rows cannot be split"):
        load_data("csv", file=write(tmp_path, "a,label\n1,x\n2,y\n"))


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        ("mnist", {}, "xor, iris, digits, csv"),
        ("csv", {}, "file"),
        ("iris", {"file": "x.csv"}, "file"),
        ("iris", {"test_fraction": 1.0}, "test_fraction is 1.0"),
        ("iris", {"test_fraction": -0.1}, "test_fraction"),
        ("iris", {"target": 0.0}, "target voltage"),
        ("iris", {"encoding": "gray"}, "auto, one_hot, signed"),
    ],
)
def test_wrong_options_are_refused(source, options, said):
    with pytest.raises(DataError, match=said):
        load_data(source, **options)


@pytest.mark.parametrize(
    "options", [{"kind": "robust"}, {"amplitude": 0.0}, {"offset": np.nan}, {"clip": 0.0}]
)
def test_a_wrong_scaling_is_refused(options):
    with pytest.raises(DataError, match="scal"):
        Scaling(**options)


# --- minibatches -----------------------------------------------------------------------------------------


@given(st.integers(1, 200), st.integers(1, 50), st.integers(0, 5))
def test_minibatches_hold_every_sample_once(n, size, seed):
    batches = minibatches(n, size, np.random.default_rng(seed))
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(n))
    assert all(len(batch) == size for batch in batches[:-1])
    assert 1 <= len(batches[-1]) <= size


def test_minibatches_are_shuffled_anew_and_continue_from_a_saved_state():
    rng = np.random.default_rng(7)
    first = minibatches(20, 6, rng)
    saved = json.loads(json.dumps(rng.bit_generator.state))
    second = minibatches(20, 6, rng)
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))
    resumed = np.random.default_rng()
    resumed.bit_generator.state = saved
    for ours, theirs in zip(second, minibatches(20, 6, resumed), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_empty_batches_are_refused():
    with pytest.raises(DataError, match="at least 1"):
        minibatches(10, 0, np.random.default_rng(0))
