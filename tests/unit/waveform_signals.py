"""Signals and numerical derivatives for the tests of losses on waveforms."""

import numpy as np

from bridge.losses import WaveformValue

END = 2.0
ONE_HOT = np.array([0.0, 1.0, 0.0])


def grid(points: int, seed: int, start: float = 1e-4) -> np.ndarray:
    """Non-uniform times from `start` to `END`: steps differ by up to a factor of twenty."""
    steps = np.random.default_rng(seed).uniform(0.05, 1.0, points - 1)
    return start + (END - start) * np.concatenate([[0.0], np.cumsum(steps) / steps.sum()])


def uniform(points: int) -> np.ndarray:
    return np.linspace(1e-9, END, points)


def smooth(time: np.ndarray) -> np.ndarray:
    return np.stack([np.sin(3 * time), np.cos(2 * time) * np.exp(-time), 0.3 + 0.1 * time**2], axis=1)


def total(found: WaveformValue) -> np.ndarray:
    """Derivative with respect to every sample, the terminal part added to the last one."""
    result = found.derivative.copy()
    result[-1] += found.terminal
    return result


def differences(loss, time, outputs, target, step=1e-5) -> np.ndarray:
    """Central differences of the value in every sample, of fourth order in the step."""
    result = np.empty_like(outputs)
    for index in np.ndindex(outputs.shape):
        shift = np.zeros_like(outputs)
        shift[index] = step
        near, far = (
            loss.evaluate(time, outputs + k * shift, target).value
            - loss.evaluate(time, outputs - k * shift, target).value
            for k in (1, 2)
        )
        result[index] = (8 * near - far) / (12 * step)
    return result
