"""The stages of ``openunmix.model.Separator``, with a fraction of the memory.

The library's ``forward`` holds the complex spectra of all stems of the whole track twice: 13 GB for ten minutes. Only
the networks need the whole track at once, because their LSTMs run over it in both directions. The Wiener filter
processes windows of ``wiener_win_len`` frames independently, and a sample of the inverse transform depends on the few
frames that cover it. So the library's own modules and functions run here in the library's order, the filter and the
inverse transform on one window at a time.

Conventions: L = FFT length, H = hop, frame k is centred on sample k·H.
"""

from __future__ import annotations

from typing import Any

import torch
from mssbench_service.cancellation import raise_if_cancelled
from openunmix.filtering import wiener


def separate(separator: Any, mixture: torch.Tensor) -> dict[str, torch.Tensor]:
    """Compute ``separator.to_dict(separator(mixture[None]))``, without the batch dimension.

    Parameters
    ----------
    separator : openunmix.model.Separator
        With a window length.
    mixture : tensor, shape (channels, samples)
        On the separator's device, longer than L/2 samples: the transform reflects it at its ends.

    Returns
    -------
    dict of str to tensor, shape (channels, samples)
        On the CPU, in the order of the separator's targets, without the residual.
    """
    spectra = separator.stft(mixture[None])  # (1, channels, bins, frames, 2)
    magnitudes = separator.complexnorm(spectra)
    targets = []
    for target in separator.target_models.values():
        raise_if_cancelled()
        targets.append(target(magnitudes))
    del magnitudes
    frames = spectra.shape[3]
    estimates = torch.empty(len(targets), *mixture.shape)
    inverse = _Inverse(separator, mixture.shape[1])
    for start in range(0, frames, separator.wiener_win_len):
        raise_if_cancelled()
        # Indexed and laid out in memory as in the library, so that sums are in the same order: where covariances are
        # nearly singular, rounding alone changes the result.
        window = torch.arange(start, min(frames, start + separator.wiener_win_len), device=spectra.device)
        stems = torch.stack([target[0].permute(2, 0, 1)[window] for target in targets], -1)
        filtered = wiener(
            stems.permute(0, 2, 1, 3),
            spectra[0].permute(2, 1, 0, 3)[window],
            separator.niter,
            softmask=separator.softmask,
            residual=separator.residual,
        )[..., : len(targets)]  # (frames, bins, channels, 2, stems)
        last = start + len(window) == frames
        first, samples = inverse.add(filtered.permute(4, 2, 1, 0, 3), last=last)
        estimates[..., first : first + samples.shape[-1]] = samples
    return dict(zip(separator.target_models, estimates, strict=True))


class _Inverse:
    """The separator's inverse transform for consecutive blocks of frames."""

    def __init__(self, separator: Any, samples: int) -> None:
        self._istft, self._hop, self._samples = separator.istft, separator.stft.n_hop, samples
        self._reach = -(-separator.stft.n_fft // (2 * self._hop))  # frames on either side that cover a sample
        self._kept: torch.Tensor | None = None
        self._first_frame = 0
        self._done = 0

    def add(self, spectra: torch.Tensor, *, last: bool) -> tuple[int, torch.Tensor]:
        """Add the next frames, of shape (stems, channels, bins, frames, 2).

        Returns
        -------
        first : int
            Position of the samples in the track.
        samples : tensor, shape (stems, channels, samples)
            Samples that no later frame changes.
        """
        if self._kept is not None:
            spectra = torch.cat([self._kept, spectra], 3)
        start, frames = self._first_frame * self._hop, spectra.shape[3]
        settled = (self._first_frame + frames - 1 - self._reach) * self._hop
        first, self._done = self._done, self._samples if last else max(self._done, settled)
        if first < self._done:
            waveform = self._istft(spectra.contiguous()[None], length=self._done - start)[0]
        else:  # too few frames so far
            waveform = spectra.new_empty(*spectra.shape[:2], first - start)
        # Earlier frames than these do not cover the next sample.
        keep = min(frames, 2 * self._reach + 1)
        self._kept = spectra[..., frames - keep :, :].clone()
        self._first_frame += frames - keep
        return first, waveform[..., first - start :]
