rule derivatives:
    input:
        unpack(read_by("derivatives")),
    output:
        PATHS.derivatives("{level}"),
    log:
        PATHS.log("derivatives/{level}"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=software_of("derivatives"),
        settings=settings_of("derivatives"),
    shell:
        "minified derivatives {params.study:q} --level {wildcards.level:q} > {log:q} 2>&1"


rule score:
    input:
        unpack(read_by("score")),
    output:
        PATHS.scores("{method}"),
    log:
        PATHS.log("score/{method}"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=software_of("score"),
        settings=settings_of("score"),
    shell:
        "minified score {params.study:q} --method {wildcards.method:q} > {log:q} 2>&1"


rule scratch:
    input:
        unpack(read_by("scratch")),
    output:
        PATHS.scratch("{regime}", "{sparsity}"),
    log:
        PATHS.log("scratch/{regime}/{sparsity}"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=software_of("scratch"),
        settings=settings_of("scratch"),
    shell:
        "minified scratch {params.study:q} --sparsity {wildcards.sparsity:q}"
        " --regime {wildcards.regime:q} > {log:q} 2>&1"


rule retrain:
    input:
        unpack(read_by("retrain")),
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
        software=software_of("retrain"),
        settings=settings_of("retrain"),
    shell:
        "minified retrain {params.study:q} --method {wildcards.method:q}"
        " --sparsity {wildcards.sparsity:q} --regime {wildcards.regime:q} > {log:q} 2>&1"


rule quantize:
    input:
        unpack(read_by("quantize")),
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
        software=software_of("quantize"),
        settings=settings_of("quantize"),
    shell:
        "minified quantize {params.study:q} --bits {wildcards.bits:q}"
        " --regime {wildcards.regime:q} > {log:q} 2>&1"


rule damage:
    input:
        unpack(read_by("damage")),
    output:
        PATHS.damage("{removal}"),
    log:
        PATHS.log("damage/{removal}"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=software_of("damage"),
        settings=settings_of("damage"),
    shell:
        "minified damage {params.study:q} --removal {wildcards.removal:q} > {log:q} 2>&1"
