"""Datasets that people bring or fetch: MUSDB18-HQ, its compressed form, SADIE II, the authors' azimuths.

pins     where they come from, with checksums and licences (``pins.toml``)
fetch    download, verify, unpack
unpack   zip archives of strangers
check    is a folder the dataset that it should be?
polar    a picture of an HRIR set
stems    from MUSDB18's ``.stem.mp4`` files to the MUSDB18-HQ layout
"""
