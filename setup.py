"""Packaging: `pip install -e .` pulls neither TensorFlow nor PyTorch."""

from pathlib import Path

from setuptools import find_packages, setup

version = next(
    line.split('"')[1]
    for line in Path(__file__).with_name("diffsinger_jax").joinpath("__init__.py").open()
    if line.startswith("__version__")
)

SHIPPED = ["diffsinger_jax.benchmarks", "diffsinger_jax.configs", "diffsinger_jax.data"]

setup(
    name="diffsinger_jax",
    version=version,
    description="DiffSinger, singing voice synthesis by shallow diffusion, in JAX and Flax",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[*find_packages(include=["diffsinger_jax", "diffsinger_jax.*"]), *SHIPPED],
    # Beside the package in a checkout, inside it when installed; resources.py finds both.
    package_dir={name: name.removeprefix("diffsinger_jax.") for name in SHIPPED},
    package_data={
        "diffsinger_jax": ["py.typed", "evaluation/page.css", "evaluation/page.js"],
        "diffsinger_jax.data": [
            "*/recipe.py",
            "dictionaries/*",
            "pjs_mini/*",
            "pjs_mini/*/*",
            "songs/*",
            "songs/melodies/*",
            "voices/*/*",
            "voices/*/variance/*",
        ],
    },
    entry_points={"console_scripts": ["diffsinger-jax = diffsinger_jax.cli.main:main"]},
    install_requires=[
        "absl-py",
        "array-record",
        "etils[epath]",
        "flatbuffers",  # jax.export writes with it, without naming it
        "flax>=0.10",
        "fsspec",
        "grain",
        "importlib_resources",  # tensorflow-datasets uses it without naming it
        "jax>=0.7",
        "librosa>=0.11",
        "matplotlib",
        "mido",
        "ml-collections",
        "numpy",
        "optax>=0.2.6",
        "orbax-checkpoint",
        "pyworld-prebuilt",  # pyworld, but without pkg_resources, which setuptools no longer has
        "pyyaml",
        "safetensors",
        "scipy",
        "soundfile",
        "soxr",
        "tensorboardX",
        "tensorflow-datasets",
        "tqdm",
    ],
    extras_require={
        "beam": ["apache-beam>=2.60"],  # prepares large corpora on clusters
        "gcs": ["gcsfs", "google-cloud-storage"],  # gs:// for corpora and --workdir
        "gpu": ["jax[cuda12]"],
        "tpu": ["jax[tpu]"],
        # DNSMOS. `pip install --no-deps resemblyzer` adds the speaker encoder: only
        # the weights in it are used, and what it depends on would bring PyTorch.
        "perceptual": ["onnxruntime>=1.18", "speechmos"],
        # Projects of other editors. MIT; of what it depends on, portion is LGPL, none is GPL.
        "formats": ["libresvip>=2.9"],
        # English words for speech: only the tables in misaki are read (Apache-2.0).
        "en": ["misaki>=0.9.4; python_version < '3.13'"],
        # Voicebanks for OpenUtau, written and sung with once.
        "export": ["jax2onnx>=0.17,<0.18", "onnx>=1.20", "onnxruntime>=1.18"],
        "zh": ["pypinyin>=0.50"],  # Chinese characters to pinyin
        "onnx": ["onnx>=1.16", "onnxruntime>=1.18"],  # OpenUtau's voicebanks and vocoders
        "torch": ["torch>=2.4"],  # its checkpoints in and out; singing and training need it not
        "tensorboard": ["tensorboard"],  # shows what training writes
        "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.5", "mkdocstrings[python]>=0.27"],
        "test": [
            "hypothesis",
            "jsonschema",
            "mypy>=1.15",
            "pytest",
            "pytest-xdist",
            "ruff>=0.17,<0.18",  # another one may format otherwise
        ],
    },
)
