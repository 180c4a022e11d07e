rule train:
    input:
        data=PATHS.data,
        sources=source_files("train"),
    output:
        PATHS.baseline,
    log:
        PATHS.log("train"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=COMPUTED_BY,
        settings=STUDY.excerpt(*ARITHMETIC, "recipes.baseline"),
    shell:
        "minified train {params.study:q} > {log:q} 2>&1"


rule evaluate:
    input:
        data=PATHS.data,
        baseline=PATHS.baseline,
        sources=source_files("evaluate"),
    output:
        PATHS.baseline_rows,
    log:
        PATHS.log("evaluate"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=COMPUTED_BY,
        settings=STUDY.excerpt(*ARITHMETIC, "name", "recipes.baseline"),
    shell:
        "minified evaluate {params.study:q} > {log:q} 2>&1"
