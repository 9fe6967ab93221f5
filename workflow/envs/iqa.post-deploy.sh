#!/usr/bin/env bash
# Snakemake runs this once, in the environment that it made from iqa.yaml. The lines are those of requirements-iqa.txt, which says
# why dependencies are left out.
set -euo pipefail
python -m pip install --no-deps --quiet \
    asttokens==3.0.2 \
    colorama==0.4.6 \
    executing==2.3.0 \
    facexlib==0.3.0 \
    icecream==2.2.0 \
    openai-clip==1.0.1 \
    protobuf==7.36.2 \
    pyiqa==0.1.16 \
    sentencepiece==0.2.3 \
    setuptools==65.5.0
