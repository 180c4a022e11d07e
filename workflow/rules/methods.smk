rule differentiate:
    input:
        data=PATHS.data,
        baseline=PATHS.baseline,
        sources=source_files("jobs.derivatives"),
    output:
        PATHS.derivatives("{level}"),
    log:
        PATHS.log("differentiate/{level}"),
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
        sources=source_files("jobs.score"),
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


rule train_scratch:
    input:
        data=PATHS.data,
        sources=source_files("jobs.scratch"),
    output:
        PATHS.scratch("{sparsity}"),
    log:
        PATHS.log("scratch/{sparsity}"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=COMPUTED_BY,
        settings=STUDY.excerpt(*ARITHMETIC, "recipes.scratch"),
    shell:
        "minified scratch {params.study:q} --sparsity {wildcards.sparsity:q} > {log:q} 2>&1"


rule retrain:
    input:
        unpack(shared_scratch),
        data=PATHS.data,
        baseline=PATHS.baseline,
        scores=PATHS.scores("{method}"),
        sources=source_files("jobs.retrain"),
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
            f"recipes.{wildcards.regime}",
            f"grid.{wildcards.method.partition('-')[0]}.scope",
        ),
    shell:
        "minified retrain {params.study:q} --method {wildcards.method:q}"
        " --sparsity {wildcards.sparsity:q} --regime {wildcards.regime:q} > {log:q} 2>&1"


rule quantize:
    input:
        data=PATHS.data,
        baseline=PATHS.baseline,
        sources=source_files("jobs.quantize"),
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
            *(["recipes.quantization"] if wildcards.regime == "fine_tune" else []),
        ),
    shell:
        "minified quantize {params.study:q} --bits {wildcards.bits:q}"
        " --regime {wildcards.regime:q} > {log:q} 2>&1"


rule measure_damage:
    input:
        data=PATHS.data,
        baseline=PATHS.baseline,
        sources=source_files("jobs.damage"),
        criterion=lambda wildcards: (
            criterion_file("merging") if wildcards.removal == "merging" else []
        ),
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
