"""Packaging of memvit; tools are configured in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (HERE / "memvit/__init__.py").read_text()).group(1)
TEST = [
    "pytest>=8",
    "pytest-xdist>=3.6",
    "httpx>=0.27",
    "schemathesis>=4",
    "hypothesis>=6",
    "timm>=1.0",
    "pytorchvideo>=0.1.5",
    "xarray>=2024.10",
    "moto[server]>=5",
    "onnxruntime>=1.18",
]
RAY = ["ray[train]>=2.40"]
S3 = ["s3fs>=2024.6"]
PARQUET = ["pyarrow>=15"]
SERVE = ["fastapi>=0.115", "uvicorn[standard]>=0.30", "prometheus-client>=0.20", "fastapi-offline>=1.7"]
PAGE = ["selenium>=4.20"]
ONNX = ["onnx>=1.16", "onnxscript>=0.2"]
LINT = ["ruff>=0.9", "mypy>=1.13"]

setup(
    name="memvit",
    version=VERSION,
    description="Long and live video: MViTv2 with a compressed memory that is carried from clip to clip (MeMViT)",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["memvit*", "pipelines*"]),
    package_data={
        "memvit": ["py.typed", "data/**/*.txt", "data/*.json", "data/models/*.safetensors"],
        "pipelines": ["serve/page/*"],
    },
    install_requires=[
        "torch>=2.6",
        "torchvision>=0.21",
        "numpy>=1.26",
        "av>=18",
        "pillow>=10.1",
        "safetensors>=0.4",
        "typer>=0.12",
        "rich>=13",
        "matplotlib>=3.8",
        "omegaconf>=2.4",
        "tensorboard>=2.14",
        "zarr>=3.1",
    ],
    extras_require={
        "test": TEST + RAY + S3 + PARQUET + SERVE + PAGE + ONNX,
        "ray": RAY,
        "serve": SERVE,
        "s3": S3,
        "parquet": PARQUET,
        "onnx": ONNX,
        "lint": LINT + SERVE,  # mypy reads their types
        "bench": ["pytorchvideo>=0.1.5", "timm>=1.0", "torchcodec>=0.2", "decord>=0.6"],
        "dev": TEST + RAY + S3 + PARQUET + SERVE + PAGE + ONNX + LINT,
    },
    entry_points={"console_scripts": ["memvit=pipelines.cli:main"]},
)
