rule derivatives:
    input:
        unpack(read_by("derivatives")),
    output:
        PLACES.derivatives("{level}"),
    log:
        PLACES.log("{where}{block}derivatives/{level}"),
    group:
        submission_of("derivatives")
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    resources:
        **asked("derivatives"),
    params:
        study=STUDY_FILE,
        of=of_whom,
        software=software_of("derivatives"),
        settings=settings_of("derivatives"),
    shell:
        "minified derivatives {params.study:q} {params.of:q} --level {wildcards.level:q} > {log:q} 2>&1"


rule score:
    input:
        unpack(read_by("score")),
    output:
        PLACES.scores("{method}"),
    log:
        PLACES.log("{where}{block}score/{method}"),
    group:
        submission_of("score")
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    resources:
        **asked("score"),
    params:
        study=STUDY_FILE,
        of=of_whom,
        software=software_of("score"),
        settings=settings_of("score"),
    shell:
        "minified score {params.study:q} {params.of:q} --method {wildcards.method:q} > {log:q} 2>&1"


rule scratch:
    input:
        unpack(read_by("scratch")),
    output:
        networks=PLACES.scratch("{regime}", "{sparsity}"),
        curve=PLACES.curve("scratch", "{regime}", "{sparsity}"),
    log:
        PLACES.log("{where}{block}scratch/{regime}/{sparsity}"),
    group:
        submission_of("scratch")
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    resources:
        **asked("scratch"),
    params:
        study=STUDY_FILE,
        of=of_whom,
        software=software_of("scratch"),
        settings=settings_of("scratch"),
    shell:
        "minified scratch {params.study:q} {params.of:q} --sparsity {wildcards.sparsity:q}"
        " --regime {wildcards.regime:q} > {log:q} 2>&1"


rule iterate:
    input:
        unpack(read_by("iterate")),
    output:
        rounds=PLACES.rounds(RETRAINED),
        curve=PLACES.curve("iterate", "{method}", "{sparsity}", "{regime}"),
    log:
        PLACES.log("{where}{block}iterate/{method}/{sparsity}/{regime}"),
    group:
        submission_of("iterate")
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    resources:
        **asked("iterate"),
    params:
        study=STUDY_FILE,
        of=of_whom,
        software=software_of("iterate"),
        settings=settings_of("iterate"),
    shell:
        "minified iterate {params.study:q} {params.of:q} --method {wildcards.method:q}"
        " --sparsity {wildcards.sparsity:q} --regime {wildcards.regime:q} > {log:q} 2>&1"


rule retrain:
    input:
        unpack(read_by("retrain")),
    output:
        **kept_networks(RETRAINED),
        rows=PLACES.rows(RETRAINED),
        curve=PLACES.curve("retrain", "{method}", "{sparsity}", "{regime}"),
    log:
        PLACES.log("{where}{block}retrain/{method}/{sparsity}/{regime}"),
    group:
        submission_of("retrain")
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    resources:
        **asked("retrain"),
    params:
        study=STUDY_FILE,
        of=of_whom,
        software=software_of("retrain"),
        settings=settings_of("retrain"),
    shell:
        "minified retrain {params.study:q} {params.of:q} --method {wildcards.method:q}"
        " --sparsity {wildcards.sparsity:q} --regime {wildcards.regime:q} > {log:q} 2>&1"


rule quantize:
    input:
        unpack(read_by("quantize")),
    output:
        **kept_networks(QUANTIZED),
        rows=PLACES.rows(QUANTIZED),
        curve=PLACES.curve("quantize", "{bits}", "{regime}"),
    log:
        PLACES.log("{where}{block}quantize/{bits}/{regime}"),
    group:
        submission_of("quantize")
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    resources:
        **asked("quantize"),
    params:
        study=STUDY_FILE,
        of=of_whom,
        software=software_of("quantize"),
        settings=settings_of("quantize"),
    shell:
        "minified quantize {params.study:q} {params.of:q} --bits {wildcards.bits:q}"
        " --regime {wildcards.regime:q} > {log:q} 2>&1"


rule damage:
    input:
        unpack(read_by("damage")),
    output:
        f"{PATHS.root}/{{block}}damage/{{removal}}.csv",
    log:
        PATHS.log("{block}damage/{removal}"),
    group:
        submission_of("damage")
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    resources:
        **asked("damage"),
    params:
        study=STUDY_FILE,
        of=block_of,
        software=software_of("damage"),
        settings=settings_of("damage"),
    shell:
        "minified damage {params.study:q} {params.of:q} --removal {wildcards.removal:q} > {log:q} 2>&1"


rule selections:
    input:
        unpack(read_by("selections")),
    output:
        kept=PATHS.table("kept.csv"),
        overlap=PATHS.table("overlap.csv"),
    log:
        PATHS.log("selections"),
    group:
        None if submissions.stays(STUDY, "selections") else submission_of("selections")
    localrule: submissions.stays(STUDY, "selections")
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    resources:
        **asked("selections"),
    params:
        study=STUDY_FILE,
        software=software_of("selections"),
        settings=settings_of("selections"),
    shell:
        "minified selections {params.study:q} > {log:q} 2>&1"
