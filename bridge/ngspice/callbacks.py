"""The compiled callbacks that ngspice calls for every source, every time point and every new plot.

They read and write one control block, an array of 64-bit integers whose address is ngspice's user data.
No Python runs while ngspice simulates, and what a run returns is what these callbacks received from it.

The structures read here are those of ngspice's shared-library interface (`sharedspice.h`, ngspice manual,
"ngspice as shared library"): `vecvaluesall`, `vecvalues`, `vecinfoall`, `vecinfo`.
"""

# mypy: disable-error-code="untyped-decorator,no-any-return"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba as nb
import numpy as np
from numba import carray, types
from numba.extending import intrinsic

# Words of the control block.
MASK = 0  # size of the name table minus one
KEYS = 1  # address: hash of the name in each place of the table, uint64
SLOTS = 2  # address: source number in each place, -1 where empty, int64
GROUP_OF = 3  # address: group of each source, int64
COLUMN_OF = 4  # address: column of each source in its group, int64
GROUPS = 5  # address: GROUP_WORDS words a group, int64
STATES = 6  # address: GROUP_STATE numbers a group, float64
N_SOURCES = 7
UNKNOWN = 8  # count of calls for a source that the table does not hold
ROWS = 9  # rows received in this run
CAPACITY = 10  # rows that the buffer holds
COLUMNS = 11  # columns of the buffer
BUFFER = 12  # address: rows x columns, float64
N_VECTORS = 13  # vectors of the plot that this run announced
LAYOUT = 14  # hash of the announced names
NAMES = 15  # address: announced names, each ended by a zero byte
NAMES_SIZE = 16  # bytes available
NAMES_USED = 17  # bytes written (0 when they did not fit)
PLOTS = 18  # plots announced since the last reset
WORDS = 32

# Words of a group: a block of signals on one time axis.
G_TIMES = 0  # address of the times, float64 (n)
G_VALUES = 1  # address of the values, float64 (n x stride)
G_POINTS = 2  # n; 1 means constant
G_STRIDE = 3
G_ORDER = 4  # 1 linear, 3 cubic, or BY_ROW
GROUP_WORDS = 5
BY_ROW = 0  # the order of a group without times: row k of its values plays until k + 1 rows were received

# State of a group: the last time asked for, the first sample used and its weights.
S_TIME, S_FIRST, S_COUNT, S_WEIGHTS = 0, 1, 2, 3
GROUP_STATE = 7

_FNV_OFFSET, _FNV_PRIME = 14695981039346656037, 1099511628211

_F64 = types.CPointer(types.float64)
_I64 = types.CPointer(types.int64)
_U8 = types.CPointer(types.uint8)


def name_hash(name: str) -> int:
    """FNV-1a hash of a source name (Fowler, Noll, Vo), 64 bits."""
    value = _FNV_OFFSET
    for byte in name.encode():
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return value


@intrinsic
def _pointer(_context: Any, _address: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), generate


@nb.njit(inline="always")
def _floats(address: int, n: int) -> Any:
    return carray(_pointer(address), (n,), np.float64)


@nb.njit(inline="always")
def _integers(address: int, n: int) -> Any:
    return carray(_pointer(address), (n,), np.int64)


@nb.njit
def _slot(name: Any, control: Any) -> int:
    h = np.uint64(_FNV_OFFSET)
    i = 0
    while name[i] != 0:
        h = (h ^ np.uint64(name[i])) * np.uint64(_FNV_PRIME)
        i += 1
    size = control[MASK] + 1
    mask = np.uint64(control[MASK])
    keys = carray(_pointer(control[KEYS]), (size,), np.uint64)
    slots = _integers(control[SLOTS], size)
    place = h & mask
    while slots[place] >= 0:
        if keys[place] == h:
            return slots[place]
        place = (place + np.uint64(1)) & mask
    return -1


@nb.njit
def interpolation_weights(time: float, times: Any, order: int, state: Any) -> None:
    """Write the samples and weights that interpolate at `time` into a group's state.

    Args:
        time: where to interpolate [s]; before the first and after the last sample their values hold.
        times: `(n,)`, strictly increasing [s].
        order: 1 for linear, 3 for the cubic through the four samples around the interval.
        state: `(GROUP_STATE,)`, receives time, first sample, number of samples and weights; its last
            position is where the search starts.
    """
    n = times.shape[0]
    state[S_TIME] = time
    if time <= times[0]:
        state[S_FIRST], state[S_COUNT], state[S_WEIGHTS] = 0.0, 1.0, 1.0
        return
    if time >= times[n - 1]:
        state[S_FIRST], state[S_COUNT], state[S_WEIGHTS] = n - 1.0, 1.0, 1.0
        return
    k = min(max(int(state[S_FIRST]), 0), n - 2)
    step = 1
    if times[k] <= time:  # gallop up, then bisect
        low, high = k, min(k + step, n - 1)
        while times[high] <= time:
            low = high
            step *= 2
            high = min(low + step, n - 1)
    else:
        low, high = max(k - step, 0), k
        while times[low] > time:
            high = low
            step *= 2
            low = max(high - step, 0)
    while high - low > 1:
        middle = (low + high) // 2
        if times[middle] <= time:
            low = middle
        else:
            high = middle
    if order == 1 or n < 4:
        f = (time - times[low]) / (times[low + 1] - times[low])
        state[S_FIRST], state[S_COUNT] = low, 2.0
        state[S_WEIGHTS], state[S_WEIGHTS + 1] = 1.0 - f, f
        return
    first = min(max(low - 1, 0), n - 4)
    state[S_FIRST], state[S_COUNT] = first, 4.0
    for i in range(4):
        w = 1.0
        for j in range(4):
            if j != i:
                w *= (time - times[first + j]) / (times[first + i] - times[first + j])
        state[S_WEIGHTS + i] = w


def _source(out: Any, time: float, name: Any, _ident: int, control: Any) -> int:
    slot = _slot(name, control)
    if slot < 0:
        control[UNKNOWN] += 1
        out[0] = np.nan
        return 0
    n = control[N_SOURCES]
    group = _integers(control[GROUP_OF], n)[slot]
    column = _integers(control[COLUMN_OF], n)[slot]
    words = _integers(control[GROUPS] + 8 * GROUP_WORDS * group, GROUP_WORDS)
    points, stride = words[G_POINTS], words[G_STRIDE]
    values = _floats(words[G_VALUES], points * stride)
    if points == 1:
        out[0] = values[column]
        return 0
    if words[G_ORDER] == BY_ROW:
        row = min(control[ROWS], points - 1)
        out[0] = values[row * stride + column]
        return 0
    state = _floats(control[STATES] + 8 * GROUP_STATE * group, GROUP_STATE)
    if state[S_TIME] != time:
        interpolation_weights(time, _floats(words[G_TIMES], points), words[G_ORDER], state)
    total = 0.0
    at = int(state[S_FIRST]) * stride + column
    for i in range(int(state[S_COUNT])):
        total += state[S_WEIGHTS + i] * values[at + i * stride]
    out[0] = total
    return 0


def _row(everything: Any, count: int, _ident: int, control: Any) -> int:
    row = control[ROWS]
    control[ROWS] = row + 1
    if row >= control[CAPACITY] or count > control[COLUMNS]:
        return 0
    vectors = _integers(everything[1], count)  # vecvaluesall: two ints, then vecvalues **
    buffer = _floats(control[BUFFER] + 8 * control[COLUMNS] * row, count)
    for i in range(count):
        buffer[i] = _floats(vectors[i], 2)[1]  # vecvalues: char *name, double creal, ...
    return 0


def _announce(info: Any, _ident: int, control: Any) -> int:
    # vecinfoall: name, title, date, type (pointers), int veccount, vecinfo **; vecinfo: int, char *name, ...
    count = info[4] & 0x7FFFFFFF  # the low half of the word: little-endian
    vectors = _integers(info[5], count)
    names = carray(_pointer(control[NAMES]), (control[NAMES_SIZE],), np.uint8)
    h = np.uint64(_FNV_OFFSET)
    used = 0
    for i in range(count):
        text_address = _integers(vectors[i], 2)[1]
        text = carray(_pointer(text_address), (1 << 16,), np.uint8)
        j = 0
        while True:
            byte = text[j]
            h = (h ^ np.uint64(byte)) * np.uint64(_FNV_PRIME)
            if used < control[NAMES_SIZE]:
                names[used] = byte
            used += 1
            j += 1
            if byte == 0:
                break
    control[N_VECTORS] = count
    control[LAYOUT] = np.int64(h >> np.uint64(1))
    control[NAMES_USED] = used if used <= control[NAMES_SIZE] else 0
    control[PLOTS] += 1
    control[ROWS] = 0
    return 0


def _compiled(signature: Any, function: Callable[..., int]) -> Any:
    try:
        return nb.cfunc(signature, cache=True)(function)
    except RuntimeError:  # no folder where the compiled code could be kept
        return nb.cfunc(signature)(function)


source_callback = _compiled(types.int32(_F64, types.float64, _U8, types.int32, _I64), _source)
row_callback = _compiled(types.int32(_I64, types.int32, types.int32, _I64), _row)
announce_callback = _compiled(types.int32(_I64, types.int32, _I64), _announce)
