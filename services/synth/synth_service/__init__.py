"""Binaural rendering: the stems of a stereo track, each at its own direction or trajectory, with one HRIR set.

sphere         the built-in HRIR set: the head as a rigid sphere
sadie          reading of a SADIE II folder
sofa           reading of a SOFA file; its fields are read by sofa_fields
measured       an HRIR set as these readers return it
hrir           an HRIR set from any of the three sources, checked; ears tells left from right
interpolation  responses between the directions of a set
blocks         streams in blocks, and blocks in a temporary file
moving         convolution of a moving source
rooms          a simulated room around the listener
scenes         the responses of the stems of a scene
heads          spherical heads with elevations, as SOFA files
render         rendering of one track folder
steps          plain functions of requests, independent of HTTP and queues
app            the same over HTTP
"""

__version__ = "0.2.0"
