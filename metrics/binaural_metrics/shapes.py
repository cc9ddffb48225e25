"""Signals as users have them: channels first or last, one stem or several."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from .signals import CHANNELS, FloatArray, InputError, check_dry, check_sample_rate, check_signal

Signals = npt.ArrayLike | Mapping[str, npt.ArrayLike]
"""One stem, an array of several, or a mapping of name to stem."""


def channels_first(signal: npt.ArrayLike, name: str, axis: int | None = None) -> FloatArray:
    """Return a stem as an array of shape (2, samples).

    Parameters
    ----------
    signal : array_like, shape (2, samples) or (samples, 2)
        Floating point, full scale ±1.
    name : str
        Name of the signal in messages, "estimate" for example.
    axis : {0, 1, -1, -2}, optional
        Axis of the channels. By default it is the only axis of length two.

    Returns
    -------
    ndarray, shape (2, samples)
        A view where possible.

    Raises
    ------
    InputError
        The shape is ambiguous or wrong, or the samples are unusable (:func:`.signals.check_signal`).

    Examples
    --------
    >>> import numpy as np
    >>> channels_first(np.zeros((44100, 2)), "estimate").shape
    (2, 44100)
    >>> channels_first(np.zeros((2, 2)), "estimate")
    Traceback (most recent call last):
        ...
    binaural_metrics.signals.InputError: estimate has the shape (2, 2); expected axis=0 or axis=1 for its channels
    """
    try:
        x = np.asarray(signal)
    except ValueError:  # rows of different lengths
        raise InputError(f"{name} is not an array; expected the shape (channels, samples)") from None
    if x.ndim != 2:
        raise InputError(
            f"{name} has {x.ndim} dimension(s), shape {x.shape}; expected two channels of samples"
        )
    if axis is None:
        candidates = [i for i in (0, 1) if x.shape[i] == CHANNELS]
        if len(candidates) == 2:
            raise InputError(f"{name} has the shape {x.shape}; expected axis=0 or axis=1 for its channels")
        if not candidates:
            raise InputError(f"{name} has the shape {x.shape}; expected two channels, left and right")
        axis = candidates[0]
    if axis not in (0, 1, -1, -2):
        raise InputError(f"axis {axis!r}; expected 0 or 1 for the channels of a stem")
    return check_signal(x if axis % 2 == 0 else x.T, name)


def named_stems(signals: Signals, name: str, axis: int | None = None) -> dict[str, FloatArray]:
    """Return stems by name, each of shape (2, samples).

    Parameters
    ----------
    signals : mapping of str to array_like, or array_like
        A mapping of stems; an array of one stem, which is called "stem"; or an array of several stems of shape
        (stems, 2, samples) or (stems, samples, 2), which are called "0", "1" and so on.
    name : str
        Name of the signals in messages.
    axis : int, optional
        Axis of the channels, in each stem of a mapping and in an array. By default it is the only axis of length
        two; the first axis of an array of several stems is never it.

    Raises
    ------
    InputError
        See :func:`channels_first`.
    """
    if isinstance(signals, Mapping):
        if not signals:
            raise InputError(f"{name} has no stem; expected at least one")
        return {key: channels_first(x, f"{name} {key!r}", axis) for key, x in signals.items()}
    try:
        x = np.asarray(signals)
    except ValueError:
        raise InputError(f"{name} is not an array; expected the shape (channels, samples)") from None
    if x.ndim != 3:
        return {"stem": channels_first(x, name, axis)}
    if axis is not None:
        if axis not in (1, 2, -1, -2):
            raise InputError(f"axis {axis!r}; expected 1 or 2 for the channels of several stems")
        axis = axis - 1 if axis > 0 else axis
    if not len(x):
        raise InputError(f"{name} has no stem; expected at least one")
    return {str(i): channels_first(stem, f"{name} {i}", axis) for i, stem in enumerate(x)}


def check_pairs(
    reference: Signals, estimate: Signals, sample_rate: int, axis: int | None = None
) -> tuple[dict[str, FloatArray], dict[str, FloatArray], int]:
    """References and estimates of the same names and the same length, and the sample rate.

    Raises
    ------
    InputError
        Their names or lengths differ, they are shorter than one second, or unusable (:func:`channels_first`).
    """
    rate = check_sample_rate(sample_rate)
    true, found = named_stems(reference, "reference", axis), named_stems(estimate, "estimate", axis)
    if isinstance(reference, Mapping) != isinstance(estimate, Mapping) or true.keys() != found.keys():
        raise InputError(
            f"the references are {', '.join(map(str, true))}, the estimates {', '.join(map(str, found))}; "
            "expected the same stems"
        )
    lengths = {x.shape[1] for x in (*true.values(), *found.values())}
    if len(lengths) > 1:
        raise InputError(f"signals of {' and '.join(map(str, sorted(lengths)))} samples; expected one length")
    (samples,) = lengths
    if samples < rate:
        raise InputError(f"{samples} samples at {rate} Hz; expected at least one second")
    return true, found, rate


def dry_stems(
    dry: Signals, stems: list[str], *, single: bool, axis: int | None = None
) -> dict[str, FloatArray]:
    """Dry stems by name, each of shape (samples,): the mean of the channels of those that have two.

    Parameters
    ----------
    dry : mapping of str to array_like, or array_like
        As the references called `stems`: a mapping, one signal if they are `single`, or an array of several.

    Raises
    ------
    InputError
        A name or the number of stems differs, or a signal is unusable (:func:`channels_first`).
    """
    try:
        if isinstance(dry, Mapping):
            signals = dict(dry)
        else:
            signals = {"stem": dry} if single else {str(i): x for i, x in enumerate(np.asarray(dry))}
        dimensions = {name: np.ndim(signal) for name, signal in signals.items()}
    except (TypeError, ValueError):
        raise InputError("the dry stems are not arrays; expected the shape (samples,) of each") from None
    if unknown := sorted(set(signals) - set(stems), key=str):
        raise InputError(f"there is a dry stem {unknown[0]!r}; the references are {', '.join(stems)}")
    return {
        name: check_dry(signal)[0]
        if dimensions[name] == 1
        else channels_first(signal, f"dry stem {name!r}", axis).mean(axis=0)
        for name, signal in signals.items()
    }
