"""Datasets: MUSDB18-HQ, MUSDB18, HRIR sets, azimuth tables and the demo music.

catalog           datasets that can be downloaded, with addresses, checksums and licences
fetch             download, verify and unpack a dataset
unpack            safe unpacking of zip archives
selection         tracks by their titles, and excerpts of tracks
excerpt_files     the files of an excerpt
musdb18           titles and errata of MUSDB18
check             check of a dataset in the MUSDB18-HQ layout
convert           conversion of MUSDB18's ``.stem.mp4`` files to the MUSDB18-HQ layout
angles            azimuths of the stems
hrir_plot         plots of HRIR sets
demo              demo music, with its songs and instruments in demo_songs and demo_instruments
"""
