"""Checkpoint states: what goes in comes out; what is damaged is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hilab.errors import RunFileError
from hilab.store import decode_state, encode_state

KEYS = st.one_of(st.text(max_size=5), st.integers(), st.none(), st.just("$"))
ARRAYS = arrays.arrays(
    st.one_of(arrays.scalar_dtypes(), arrays.byte_string_dtypes(), arrays.unicode_string_dtypes()),
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(), st.binary(), ARRAYS
)
STATES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)


def same(one, other):
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (float, complex)):
        return type(one) is type(other) and repr(one) == repr(other)
    return type(one) is type(other) and one == other


@given(STATES)
@settings(max_examples=200, deadline=None)
def test_what_goes_in_comes_out(state):
    assert same(state, decode_state(encode_state(state)))


def test_tuples_become_lists_and_arrays_are_independent_and_writable():
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    back = decode_state(encode_state({"pair": (1, (2, 3)), "array": array, "scalar": np.float32(2.5)}))
    assert back["pair"] == [1, [2, 3]]
    back["array"][0, 0] = 99
    assert array[0, 0] == 0 and back["array"].flags.c_contiguous
    assert isinstance(back["scalar"], np.float32)


def test_a_random_generator_goes_on_where_it_was():
    generator = np.random.default_rng(5)
    generator.random(7)
    state = decode_state(encode_state(generator.bit_generator.state))
    other = np.random.default_rng(0)
    other.bit_generator.state = state
    assert other.random() == generator.random()


@pytest.mark.parametrize(
    "bad", [object(), {1, 2}, lambda: 0, np.array([object()]), {(1, 2): 3}, np.zeros(2, "f8,i4")]
)
def test_what_is_not_plain_is_refused_with_its_place(bad):
    with pytest.raises(TypeError, match=r"^state\['model'\]\[1\] (is|has)"):
        encode_state({"model": [0, bad]})


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_bytes_never_give_anything_but_a_refusal_or_a_state(data):
    raw = bytearray(encode_state({"a": [1, math.pi, b"xyz"], "b": np.arange(5), 3: {"$": None}}))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode_state(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    except RunFileError as error:
        assert "damaged" in str(error)


def test_an_array_outside_the_payload_is_refused():
    raw = encode_state({"a": np.arange(3)})
    with pytest.raises(RunFileError, match="damaged"):
        decode_state(raw.replace(b'"bytes":24', b'"bytes":99'))
    with pytest.raises(RunFileError, match="damaged"):
        decode_state(raw.replace(b'"shape":[3]', b'"shape":[9]'))
