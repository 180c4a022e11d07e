rule prepare:
    input:
        unpack(read_by("prepare")),
    output:
        PATHS.data,
    log:
        PATHS.log("prepare"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=software_of("prepare"),
        settings=settings_of("prepare"),
    shell:
        "minified prepare {params.study:q} > {log:q} 2>&1"
