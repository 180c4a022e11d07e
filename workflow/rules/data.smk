rule prepare:
    input:
        unpack(read_by("prepare")),
    output:
        SHARED.data,
    log:
        SHARED.log("{where}prepare"),
    localrule: True
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    resources:
        **asked("prepare"),
    params:
        study=STUDY_FILE,
        of=of_whom,
        software=software_of("prepare"),
        settings=settings_of("prepare"),
    shell:
        "minified prepare {params.study:q} {params.of:q} > {log:q} 2>&1"
