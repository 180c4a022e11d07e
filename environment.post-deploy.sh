# Snakemake runs this in the environment that it has made of environment.yml (`--sdm conda`): the
# jobs call `minified`, which is the project itself.
python -m pip install --quiet --disable-pip-version-check --no-deps --editable "$(dirname "$0")"
