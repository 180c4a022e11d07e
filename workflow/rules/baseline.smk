rule train:
    input:
        data=PATHS.data,
        sources=source_files("train"),
    output:
        networks=PATHS.baseline,
        rows=PATHS.baseline_rows,
    log:
        PATHS.log("train"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=COMPUTED_BY,
        settings=STUDY.excerpt(*ARITHMETIC, "name", "recipes.baseline"),
    shell:
        "minified train {params.study:q} > {log:q} 2>&1"
