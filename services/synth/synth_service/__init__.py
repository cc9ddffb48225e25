"""Binaural rendering: the stems of a stereo track, each at its own azimuth, with one HRIR set.

sphere  the built-in HRIR set: the head as a rigid sphere
sadie   reading of a SADIE II folder
sofa    reading of a SOFA file
hrir    an HRIR set from any of the three sources, checked
render  rendering of one track folder
steps   plain functions of requests, independent of HTTP and queues
app     the same over HTTP
"""

__version__ = "0.2.0"
