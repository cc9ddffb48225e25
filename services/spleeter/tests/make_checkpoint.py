"""Write a small Spleeter checkpoint with random weights: ``python make_checkpoint.py WEIGHTS_DIR``.

In the released format: a TensorFlow checkpoint in a model folder, and a configuration of the library. They are written
to the folder ``spleeter`` of WEIGHTS_DIR: ``tiny.json`` with the checkpoint in ``tiny/``, and ``tiny_two.json`` with
``tiny_two/`` for two stems. ``--full`` writes ``full.json`` and ``full/`` for benchmarks, which are as large as
``spleeter:4stems``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from spleeter.model import EstimatorSpecBuilder, InputProviderFactory
from spleeter.utils.configuration import load_configuration

FILTERS = [2, 2, 4, 4, 8, 8]


def make_checkpoint(weights: Path) -> Path:
    """Write the small models below `weights` and return their folder."""
    params = load_configuration("spleeter:4stems")
    params["T"] = 64
    params["model"]["params"]["conv_n_filters"] = FILTERS
    two = {**params, "instrument_list": ["vocals", "accompaniment"]}
    _make(weights / "spleeter", "tiny_two", two)
    return _make(weights / "spleeter", "tiny", params)


def make_full(weights: Path) -> Path:
    """Write the full-sized model below `weights` and return its folder."""
    return _make(weights / "spleeter", "full", load_configuration("spleeter:4stems"))


def _make(folder: Path, name: str, params: dict[str, Any]) -> Path:
    (folder / name).mkdir(parents=True, exist_ok=True)
    params["model_dir"] = name
    (folder / f"{name}.json").write_text(json.dumps(params, indent=1))
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        features = InputProviderFactory.get(params).get_input_dict_placeholders()
        EstimatorSpecBuilder(features, params).build_predict_model()
        random = np.random.default_rng(0)
        variables = tf.compat.v1.global_variables()
        step = tf.compat.v1.train.create_global_step()  # part of every checkpoint of a training
        feed = {step.initializer.inputs[1]: np.int64(0)}
        for variable in variables:
            # Gains and variances near 1, everything else near 0, which gives masks that differ between the stems.
            around = 1.0 if variable.op.name.endswith(("gamma", "moving_variance")) else 0.0
            shape = variable.shape.as_list()
            # Kernels with their spread at the start of training. Larger activations would grow from layer to layer,
            # until rounding errors changed the masks.
            spread = math.sqrt(6 / (math.prod(shape[:-2]) * sum(shape[-2:]))) if len(shape) == 4 else 0.2
            value = around + random.uniform(-spread, spread, shape)
            feed[variable.initializer.inputs[1]] = value.astype(np.float32)
        session.run([variable.initializer for variable in (step, *variables)], feed)
        # Relative paths, as in the releases: the folder may be copied or mounted elsewhere.
        saver = tf.compat.v1.train.Saver(save_relative_paths=True)
        saver.save(session, str(folder / name / "model"))
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--full", action="store_true", help="write the full-sized model instead")
    options = parser.parse_args()
    print((make_full if options.full else make_checkpoint)(options.weights))
