rule derivatives:
    input:
        data=PATHS.data,
        baseline=PATHS.baseline,
        sources=source_files("derivatives"),
    output:
        PATHS.derivatives("{level}"),
    log:
        PATHS.log("derivatives/{level}"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=COMPUTED_BY,
        settings=STUDY.excerpt(*ARITHMETIC, "data.saliency_examples"),
    shell:
        "minified derivatives {params.study:q} --level {wildcards.level:q} > {log:q} 2>&1"


rule score:
    input:
        unpack(shared_derivatives),
        data=PATHS.data,
        baseline=PATHS.baseline,
        sources=source_files("score"),
        criterion=method_files,
    output:
        PATHS.scores("{method}"),
    log:
        PATHS.log("score/{method}"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=COMPUTED_BY,
        settings=lambda wildcards: STUDY.excerpt(
            *ARITHMETIC,
            "data.saliency_examples",
            f"options.{wildcards.method.partition('-')[2]}",
        ),
    shell:
        "minified score {params.study:q} --method {wildcards.method:q} > {log:q} 2>&1"


rule scratch:
    input:
        data=PATHS.data,
        sources=source_files("scratch"),
    output:
        PATHS.scratch("{regime}", "{sparsity}"),
    log:
        PATHS.log("scratch/{regime}/{sparsity}"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=COMPUTED_BY,
        settings=lambda wildcards: STUDY.excerpt(*ARITHMETIC, *STUDY.recipe_keys(wildcards.regime)),
    shell:
        "minified scratch {params.study:q} --sparsity {wildcards.sparsity:q}"
        " --regime {wildcards.regime:q} > {log:q} 2>&1"


rule retrain:
    input:
        unpack(shared_scratch),
        data=PATHS.data,
        baseline=PATHS.baseline,
        scores=PATHS.scores("{method}"),
        sources=source_files("retrain"),
        criterion=method_files,
    output:
        **kept_networks(RETRAINED),
        rows=PATHS.rows(RETRAINED),
    log:
        PATHS.log("retrain/{method}/{sparsity}/{regime}"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=COMPUTED_BY,
        settings=lambda wildcards: STUDY.excerpt(
            *ARITHMETIC,
            "name",
            "keep_networks",
            "data.saliency_examples",
            *STUDY.recipe_keys(wildcards.regime),
            f"grid.{wildcards.method.partition('-')[0]}.scope",
        ),
    shell:
        "minified retrain {params.study:q} --method {wildcards.method:q}"
        " --sparsity {wildcards.sparsity:q} --regime {wildcards.regime:q} > {log:q} 2>&1"


rule quantize:
    input:
        data=PATHS.data,
        baseline=PATHS.baseline,
        sources=source_files("quantize"),
    output:
        **kept_networks(QUANTIZED),
        rows=PATHS.rows(QUANTIZED),
    log:
        PATHS.log("quantize/{bits}/{regime}"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=COMPUTED_BY,
        settings=lambda wildcards: STUDY.excerpt(
            *ARITHMETIC,
            "name",
            "keep_networks",
            *(["recipes.quantization"] if ROUNDINGS[wildcards.regime].trains else []),
        ),
    shell:
        "minified quantize {params.study:q} --bits {wildcards.bits:q}"
        " --regime {wildcards.regime:q} > {log:q} 2>&1"


rule damage:
    input:
        data=PATHS.data,
        baseline=PATHS.baseline,
        sources=source_files("damage"),
        criterion=removal_files,
    output:
        PATHS.damage("{removal}"),
    log:
        PATHS.log("damage/{removal}"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=COMPUTED_BY,
        settings=STUDY.excerpt(*ARITHMETIC, "data.saliency_examples", "damage"),
    shell:
        "minified damage {params.study:q} --removal {wildcards.removal:q} > {log:q} 2>&1"
