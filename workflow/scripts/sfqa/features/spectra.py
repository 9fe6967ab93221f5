"""Log-mel spectrum, mel cepstra and chroma of sound, as in the audio-visual baselines."""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
from scipy.fft import dct, next_fast_len, rfft
from scipy.signal.windows import hamming, hann

from sfqa.arrays import Floats

BANDS = 224
#: Samples of a window, mel bands, cepstra and chroma bins of GeneralAVQA.
FFT, MELS, CHROMA = 1024, 128, 128
C1_HERTZ, OCTAVES = 440 * 2 ** (-45 / 12), 7

# Number of side lobes of a constant-Q atom that are used; later ones are under 1e-4 of its peak.
_LOBES = 20
# Number of neighbouring bins computed together: fewer need more calls, more need more lines.
_GROUP = 16
_TUNING_FFT, _TUNING_HOP = 2048, 512

Sound = npt.NDArray[np.floating]


def log_mel(samples: Sound, rate: int) -> Floats:
    """Return the log spectrum (columns, 224) of DNN-RNT: one column of 20 ms per 5 ms.

    Natural logarithm of the magnitude of the Fourier sum over a Hamming window at 224 frequencies
    equally far apart in mel, from 30 to 3820 mel (18.9 Hz to 20.06 kHz), or to half the rate where
    that is less; zero becomes 2^-52. Samples in -1..1 are taken as 16-bit ones, (32768 x + .5) /
    32767.5. Source: Cao et al., "Attention-guided neural networks for full-reference and
    no-reference audio-visual quality assessment", IEEE TIP 2023, by Goertzel's algorithm, which
    equals the sum. Raises ``ValueError`` for less sound than a window.
    """
    size = round(rate * 0.02)
    hop = size - int(size * 0.75)
    if samples.ndim != 1 or samples.size < size:
        raise ValueError(f"not mono sound of {size} samples or more: shape {samples.shape}")
    sound = (np.asarray(samples, np.float64) * 32768 + 0.5) / 32767.5
    windows = np.lib.stride_tricks.sliding_window_view(sound, size)[::hop]
    magnitude = np.hypot(*(windows @ part for part in _fourier_sums(rate, size)))
    return np.log(np.where(magnitude == 0, 2.0**-52, magnitude))


def log_mel_hertz(rate: int) -> Floats:
    """Return the frequencies of :func:`log_mel`, O'Shaughnessy's mel: 2595 log10(1 + f / 700).

    >>> [log_mel_hertz(rate)[[0, -1]].round(1).tolist() for rate in (48000, 16000)]
    [[18.9, 20056.8], [18.9, 8000.0]]
    """
    top = min(3820.0, 2595 * np.log10(1 + rate / 2 / 700))
    return np.asarray(700 * (10 ** (np.linspace(30, top, BANDS) / 2595) - 1))


@cache
def _fourier_sums(rate: int, size: int) -> tuple[Floats, Floats]:
    turns = np.outer(np.arange(size), log_mel_hertz(rate)) / rate * 2 * np.pi
    window = hamming(size, sym=False)[:, None]
    return window * np.cos(turns), window * np.sin(turns)


def mel_cepstra(samples: Sound, rate: int, hop: int) -> Floats:
    """Return the MFCC (columns, 128) of librosa's ``mfcc`` with 128 of 128 and a window of 1024.

    Power spectrum, 128 mel filters of equal area, decibels down to 80 below the loudest of all,
    orthonormal DCT-II.
    """
    mel = _compute_magnitudes(samples, FFT, hop) ** 2 @ mel_filters(rate).T
    decibels = 10 * np.log10(np.maximum(mel, 1e-10))
    return np.asarray(dct(np.maximum(decibels, decibels.max() - 80), norm="ortho", axis=1))


@cache
def mel_filters(rate: int) -> Floats:
    """Return triangular mel filters (128, 513) of equal area, 0 to half the rate.

    Slaney's mel scale (Auditory Toolbox, 1998): 200/3 Hz per mel up to 1 kHz, then 27 mels for
    each factor of 6.4.
    """
    break_mel, step = 15.0, np.log(6.4) / 27
    top = break_mel + np.log(rate / 2 / 1000) / step
    mels = np.linspace(0, top, MELS + 2)
    hertz = np.where(mels < break_mel, mels * 200 / 3, 1000 * np.exp(step * (mels - break_mel)))
    left, centre, right = (hertz[i : i + MELS, None] for i in range(3))
    bins = np.arange(FFT // 2 + 1) * rate / FFT
    triangles = np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre))
    return np.asarray(np.maximum(0, triangles) * 2 / (right - left))


def chroma_stft(samples: Sound, rate: int, hop: int) -> Floats:
    """Return the share of each of 128 pitch classes in the power spectrum, (columns, 128).

    librosa's ``chroma_stft`` with a window of 1024: tuning estimated, Gaussian bumps of one bin or
    one line of the spectrum (the wider) on pitch class, weighted around 880 Hz with a deviation of
    two octaves, largest of a column 1. Class 98 is A: librosa's shift to C is 30 bins, not 32,
    where bins are 128. Source: Ellis, "Chroma feature analysis and synthesis", 2007.
    """
    power = _compute_magnitudes(samples, FFT, hop) ** 2
    weights = chroma_filters(rate, estimate_tuning(power, rate, FFT))
    return _to_largest(power @ weights.T)


def chroma_filters(rate: int, offset: float) -> Floats:
    """Return the weights (128, 513) of :func:`chroma_stft`, ``offset`` in bins of 128."""
    hertz = np.arange(1, FFT) * rate / FFT
    line = CHROMA * np.log2(hertz / (27.5 * 2 ** (offset / CHROMA)))
    line = np.concatenate([line[:1] - 1.5 * CHROMA, line])
    width = np.append(np.maximum(np.diff(line), 1), 1)
    distance = (line - np.arange(CHROMA)[:, None] + CHROMA / 2) % CHROMA - CHROMA / 2
    weights = np.exp(-0.5 * (2 * distance / width) ** 2)
    weights /= np.sqrt((weights**2).sum(axis=0))
    weights *= np.exp(-0.5 * ((line / CHROMA - 5) / 2) ** 2)
    return np.roll(weights, -3 * (CHROMA // 12), axis=0)[:, : FFT // 2 + 1]


def chroma_cqt(samples: Sound, rate: int, hop: int) -> Floats:
    """Return the share of each of 128 pitch classes in the constant-Q spectrum, (columns, 128).

    librosa's ``chroma_cqt`` with 128 bins per octave: tuning estimated, seven octaves from C1, sums
    of magnitudes over octaves, largest of a column 1. Class 0 is C, 96 is A. The transform is
    :func:`constant_q` without librosa's short cuts: the sound halved for each octave, which on
    segments shorter than a filter shows at the edges, and 1 % of each filter left out. They move
    a class by up to .02 of the largest, and by more where a column lies 60 dB under its neighbours.
    """
    spectrum = _compute_magnitudes(samples, _TUNING_FFT, _TUNING_HOP)
    offset = estimate_tuning(spectrum, rate, _TUNING_FFT)
    magnitude = np.abs(constant_q(samples, rate, hop, offset))
    return _to_largest(magnitude.reshape(len(magnitude), OCTAVES, CHROMA).sum(axis=1))


def constant_q(
    samples: Sound, rate: int, hop: int, offset: float = 0.0
) -> npt.NDArray[np.complex128]:
    """Return the constant-Q transform (columns, 7 * 128) from C1 up, ``offset`` in bins.

    C[t, k] = 2 / sqrt(N) * sum over n of x[t hop + n] w[n] exp(-2 pi i n f / rate), with w a Hann
    window of N samples around 0, N the even number nearest to Q rate / f, and Q = 184.7 so that
    neighbours 1/128 octave apart just meet (Brown, JASA 89, 1991). Outside the sound is silence.
    Every octave is one product in the frequency domain with the windows' transforms, which are
    known in closed form; their side lobes beyond the 20th are left out.
    """
    columns = 1 + samples.size // hop
    ratio = 4 ** (1 / CHROMA)
    hertz = C1_HERTZ * 2 ** ((np.arange(OCTAVES * CHROMA) + offset) / CHROMA)
    sizes = 2 * np.round((ratio + 1) / (ratio - 1) * rate / hertz / 2)
    if hertz[-1] > 0.95 * rate / 2:
        raise ValueError(f"sound at {rate} Hz does not hold {hertz[-1]:.0f} Hz")
    lobes = _LOBES * (ratio - 1) / (ratio + 1)
    lowest, highest = hertz * (1 - lobes), hertz * (1 + lobes)
    sound = np.asarray(samples, np.float64)
    transform = np.empty((columns, OCTAVES * CHROMA), np.complex128)
    for octave in range(0, OCTAVES * CHROMA, CHROMA):
        count = next_fast_len(sound.size + int(sizes[octave]) // 2 + 1, real=True)
        # Wide enough for every offset, so that the phase shifts can be reused for other segments.
        bottom = C1_HERTZ * 2 ** ((octave - 1) / CHROMA) * (1 - lobes)
        top = C1_HERTZ * 2 ** (octave / CHROMA + 1) * (1 + lobes)
        first, last = int(bottom * count / rate), min(int(top * count / rate) + 1, count // 2)
        lines = rfft(sound, count)[first : last + 1] / count
        shifted = _phase_shifts(first, last + 1, count, hop, columns) * lines
        for start in range(octave, octave + CHROMA, _GROUP):
            bins = slice(start, start + _GROUP)
            low = int(lowest[start] * count / rate)
            high = min(int(highest[start + _GROUP - 1] * count / rate) + 1, last) + 1
            theta = 2 * np.pi * (np.arange(low, high)[:, None] / count - hertz[bins] / rate)
            atoms = hann_transform(theta, sizes[bins]) * (2 / np.sqrt(sizes[bins]))
            shifted_lines = shifted[:, low - first : high - first]
            # Two real products: a complex one would convert the atoms, at twice the cost.
            transform[:, bins].real, transform[:, bins].imag = (
                shifted_lines.real @ atoms,
                shifted_lines.imag @ atoms,
            )
    return transform


def hann_transform(theta: Floats, size: npt.NDArray[np.floating]) -> Floats:
    """Return the sum over n of (1 + cos(2 pi n / N)) / 2 * cos(n theta), -N/2 <= n <= N/2, N even.

    >>> hann_transform(np.array([0.0, np.pi / 4, np.pi / 2]), np.array([8.0])).round(9).tolist()
    [4.0, 2.0, 0.0]
    """
    tangent, first = np.tan(theta / 2), np.tan(np.pi / size)
    rest = 1 - (tangent / first) ** 2
    centre, edge = np.abs(tangent) < 1e-9 * first, np.abs(rest) < 1e-9
    with np.errstate(divide="ignore", invalid="ignore"):
        general = 0.5 * np.sin(size * theta / 2) * (1 + tangent**2) / (tangent * rest)
    return np.where(centre, size / 2, np.where(edge, size / 4, general))


@lru_cache(maxsize=OCTAVES)
def _phase_shifts(
    low: int, high: int, count: int, hop: int, columns: int
) -> npt.NDArray[np.complex128]:
    """Return the phase shift of each line of the spectrum at each column, (columns, high - low)."""
    turns = np.outer(np.arange(columns) * hop, np.arange(low, high)) % count
    return np.exp(2j * np.pi / count * turns)


def estimate_tuning(spectrum: Floats, rate: int, fft: int) -> float:
    """Return how far the sound's pitches lie from A = 440 Hz, in bins of 1/128 octave, -.5 to .49.

    librosa's ``estimate_tuning``: local peaks between 150 and 4000 Hz of at least a tenth of the
    column's largest line, placed by a parabola, those above the median height; the commonest of
    100 steps, its lower edge. ``spectrum`` (columns, fft / 2 + 1); 0 where there is no peak.
    """
    middle, before, after = spectrum[:, 1:-1], spectrum[:, :-2], spectrum[:, 2:]
    hertz = np.arange(1, fft // 2) * rate / fft
    loud = spectrum * (spectrum > 0.1 * spectrum.max(axis=1, keepdims=True))
    peak = (loud[:, 1:-1] > loud[:, :-2]) & (loud[:, 1:-1] >= loud[:, 2:])
    peak &= (hertz >= 150) & (hertz < min(4000, rate / 2))
    peak_positions = np.nonzero(peak)
    slope = (after - before)[peak_positions] / 2
    bend = (after + before - 2 * middle)[peak_positions]
    shift = np.where(np.abs(slope) < np.abs(bend), -slope / np.where(bend == 0, 1, bend), 0)
    height = middle[peak_positions] + slope * shift / 2
    pitch = (peak_positions[1] + 1 + shift) * rate / fft
    if not pitch.size:
        return 0.0
    pitch = pitch[height >= np.median(height)]
    deviations = (CHROMA * np.log2(pitch / 27.5)) % 1
    deviations = np.where(deviations >= 0.5, deviations - 1, deviations)
    counts, edges = np.histogram(deviations, np.linspace(-0.5, 0.5, 101))
    return float(edges[np.argmax(counts)])


def _compute_magnitudes(samples: Sound, fft: int, hop: int) -> Floats:
    """Return magnitudes (1 + samples // hop, fft / 2 + 1) of Hann windows at multiples of hop."""
    padded = np.pad(np.asarray(samples, np.float64), fft // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, fft)[::hop]
    return np.abs(rfft(windows * hann(fft, sym=False), axis=1))


def _to_largest(values: Floats) -> Floats:
    """Scale each column to a largest value of 1; a column of zeros stays zero."""
    largest = values.max(axis=1, keepdims=True)
    return np.asarray(values / np.where(largest < np.finfo(np.float64).tiny, 1, largest))
