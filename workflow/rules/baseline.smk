rule train:
    input:
        unpack(read_by("train")),
    output:
        PATHS.baseline,
    log:
        PATHS.log("train"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=software_of("train"),
        settings=settings_of("train"),
    shell:
        "minified train {params.study:q} > {log:q} 2>&1"


rule evaluate:
    input:
        unpack(read_by("evaluate")),
    output:
        PATHS.baseline_rows,
    log:
        PATHS.log("evaluate"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=software_of("evaluate"),
        settings=settings_of("evaluate"),
    shell:
        "minified evaluate {params.study:q} > {log:q} 2>&1"
