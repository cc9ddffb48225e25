"""Spleeter's graph in one session, run on bounded sections of the track.

``spleeter.separator.Separator.separate`` builds its graph and reads the checkpoint anew for every track, and sends
the whole track through at once (about 1 GB per minute). Here the library's own
:class:`~spleeter.model.EstimatorSpecBuilder` builds the graph once. The U-Nets process T frames at a time,
independently, and the inverse transform adds overlapping frames. So the overlapping results of sections of whole
multiples of T frames add up to the result of the whole track.

Conventions: L = ``frame_length`` and H = ``frame_step`` samples. The library puts L zeros before the track. Frame f
then starts at sample f·H, and ceil((samples + L)/H) frames cover the track.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from mssbench_service.audio import FloatArray
from mssbench_service.cancellation import raise_if_cancelled
from mssbench_service.errors import NotReady
from spleeter.model import EstimatorSpecBuilder


class Network:
    """The separation graph of one configuration, with its variables restored.

    Parameters
    ----------
    params : mapping
        A Spleeter configuration (``spleeter.utils.configuration.load_configuration``).
    checkpoint : str
        Prefix of the checkpoint's files, as ``tf.train.latest_checkpoint`` gives it.
    batch_size : int
        Number of groups of T frames that go through the U-Nets at once.
    session_config : tf.compat.v1.ConfigProto
        Settings of the TensorFlow session.
    """

    def __init__(
        self, params: Mapping[str, Any], checkpoint: str, batch_size: int, session_config: Any
    ) -> None:
        self._length, self._step = int(params["frame_length"]), int(params["frame_step"])
        if self._length % self._step:
            raise NotReady(f"frame_length {self._length} is not a multiple of frame_step {self._step}")
        self._frames_at_once = batch_size * int(params["T"])
        with tf.Graph().as_default() as graph:
            self._build(dict(params, MWF=False))
            self._session = tf.compat.v1.Session(graph=graph, config=session_config)
            tf.compat.v1.train.Saver().restore(self._session, checkpoint)
        graph.finalize()

    def _build(self, params: dict[str, Any]) -> None:
        lead = self._length // self._step
        bins, channels = self._length // 2 + 1, params["n_channels"]
        self._waveform = tf.compat.v1.placeholder(tf.float32, (None, channels))
        self._frames = tf.compat.v1.placeholder(tf.int32, ())
        # `lead` frames start in the zeros that the library puts before its input. They are dropped, because separate()
        # feeds each section together with the samples that precede it in the track.
        features = {"waveform": self._waveform}
        spectra = EstimatorSpecBuilder(dict(features), params).stft_feature[lead : lead + self._frames]
        builder = EstimatorSpecBuilder({**features, f"{params['mix_name']}_stft": spectra}, params)
        # The inverse transform removes the first L samples: the `lead` silent frames that are put there.
        silence = tf.zeros((lead, bins, channels), tf.complex64)
        samples = (self._frames - 1) * self._step + self._length
        self._stems = {
            stem: builder._inverse_stft(tf.concat([silence, masked], 0), time_crop=samples)
            for stem, masked in builder.masked_stfts.items()
        }

    def close(self) -> None:
        """Free the session's memory."""
        self._session.close()

    def separate(self, mixture: FloatArray) -> dict[str, FloatArray]:
        """Separate one track.

        Parameters
        ----------
        mixture : array, shape (samples, channels), float32

        Returns
        -------
        dict of str to array, shape (samples, channels), float32
        """
        samples, channels = mixture.shape
        length, step = self._length, self._step
        frames = math.ceil((samples + length) / step)
        padded = np.zeros((frames * step + length, channels), np.float32)
        padded[length : length + samples] = mixture
        sums = {stem: np.zeros_like(padded) for stem in self._stems}
        for first in range(0, frames, self._frames_at_once):
            raise_if_cancelled()
            count = min(self._frames_at_once, frames - first)
            section = slice(first * step, (first + count - 1) * step + length)
            feed = {self._waveform: padded[section], self._frames: count}
            for stem, estimate in self._session.run(self._stems, feed).items():
                sums[stem][section] += estimate
        return {stem: total[length : length + samples] for stem, total in sums.items()}
