# Snakemake runs this in the environment that it has made of environment.yml (`--sdm conda`): the
# jobs call `minified`, which is the project itself. workflow/rules/common.smk says where it is.
python -m pip install --quiet --disable-pip-version-check --no-deps --editable "$MINIFIED_PROJECT"
