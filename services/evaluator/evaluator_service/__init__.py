"""Metrics that say whether a separated stem kept its spatial image.

signals     what every metric expects of its input, and decibels
spauq       SSR and SRR of SPAUQ: the released variant and the one that follows its equations
interaural  the paper's ITD and ILD
cues        interaural time, level, coherence and azimuth of the corrected profile
level       fitted level and SI-SDR
bsseval     BSS Eval version 4
score       every stem of a track -> one row per stem

Pure functions on arrays of shape (channels, samples), channel 0 = left ear. No network, no files.
"""

__version__ = "0.2.0"
