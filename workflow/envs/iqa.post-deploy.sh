#!/usr/bin/env bash
# Snakemake runs this once, in the environment that it made from iqa.yaml. The lines are those of requirements-iqa.txt, which says
# why dependencies are left out.
set -euo pipefail
python -m pip install --no-deps --quiet \
    facexlib==0.3.0 \
    openai-clip==1.0.1 \
    pyiqa==0.1.16 \
    setuptools==65.5.0
