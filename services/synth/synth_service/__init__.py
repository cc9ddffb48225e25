"""Binaural rendering: a stereo track's stems, each at an azimuth of its own, through one HRIR set.

sphere  the built-in HRIR set: the head as a rigid sphere
sadie   reading a SADIE II folder
sofa    reading a SOFA file
hrir    an HRIR set, whichever of the three it comes from, with what is checked of all
render  one track folder in, one rendered folder out
steps   the same as plain functions of requests; they know neither HTTP nor queues
app     the same over HTTP
"""

__version__ = "0.2.0"
