"""One distribution out of several rooms.

The rooms (``frontend/``, ``backoffice/``, ``connectors/``, ``sandbox/``) are folders of packages, not packages
themselves: each package in them is importable under its own name. Entities and mappings are found by listing files, so
that adding one edits nothing here.
"""

from pathlib import Path

from setuptools import find_packages, setup

ROOMS = ("frontend", "backoffice", "connectors", "sandbox")

packages, package_dir = find_packages(".", include=["datawald", "datawald.*"]), {}
for room in ROOMS:
    found = find_packages(room)
    packages += found
    package_dir |= {name: f"{room}/{name}" for name in found if "." not in name}


def declared(folder: str, package: str, attribute: str, prefix: str = "") -> list[str]:
    """Entry points for every public module of ``folder``: one file, one declaration."""
    return [
        f"{prefix}{path.stem} = {package}.{path.stem}:{attribute}" for path in sorted(Path(folder).glob("[a-z]*.py"))
    ]


setup(
    name="datawald",
    version="0.1.0",
    description="Keeps what a company sells (Magento 2) and what it books (SAP Business One) in step",
    long_description=Path("README.md").read_text(encoding="utf-8") if Path("README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=packages,
    package_dir=package_dir,
    package_data={
        "": ["py.typed", "*.html", "*.css", "*.js", "*.svg", "*.json", "*.toml"],
    },
    install_requires=[
        "flask>=3.1,<4",
        "flask-restful>=0.3.10,<0.4",
        "celery>=5.6,<6",
        "kombu>=5.6,<6",
        "pymongo>=4.15,<5",
        "requests>=2.32,<3",
        "requests-oauthlib>=2,<3",
        "gunicorn>=23",
        "pydantic>=2.12,<3",
        "pydantic-settings>=2.10,<3",
        "click>=8.2,<9",
        "rich>=14",
        "cryptography>=44",
        "nx-27017>=0.8.1,<0.9",
        "neosqlite>=1.17.1,<2",
    ],
    extras_require={
        "dev": [
            "pytest>=8.4",
            "pytest-timeout>=2.4",
            "hypothesis>=6.130",
            "mongomock>=4.3",
            "ruff>=0.12",
            "mypy>=1.16",
            "import-linter>=2.3",
            "pre-commit>=4",
            "build>=1.2",
            "setuptools>=77",  # a test installs a package of its own
            "openapi-spec-validator>=0.7",
            "types-requests",
        ]
    },
    entry_points={
        "console_scripts": [
            "datawald = datawald.cli.main:main",
            "sandbox-magento2 = sandbox_magento2.cli:main",
            "sandbox-sapb1 = sandbox_sapb1.cli:main",
        ],
        "datawald.entities": declared("datawald/entities", "datawald.entities", "ENTITY"),
        "datawald.agents": [
            "mage2 = datawald_mage2agency:Mage2Agency",
            "mage2_sample = datawald_mage2agent:Mage2Agent",
            "b1 = datawald_b1agency:B1Agency",
            "b1_sample = datawald_b1agent:B1Agent",
        ],
        "datawald.mappings": [
            *declared("frontend/datawald_mage2agency/entities", "datawald_mage2agency.entities", "MAPPING", "mage2."),
            *declared("backoffice/datawald_b1agency/entities", "datawald_b1agency.entities", "MAPPING", "b1."),
        ],
    },
)
