rule prepare:
    input:
        unpack(read_by("prepare")),
    output:
        PLACES.data,
    log:
        PLACES.log("{where}prepare"),
    localrule: True
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    resources:
        **asked("prepare"),
    params:
        study=STUDY_FILE,
        of=specification_of,
        software=software_of("prepare"),
        settings=settings_of("prepare"),
    shell:
        "minified prepare {params.study:q} --specification {params.of:q} > {log:q} 2>&1"
